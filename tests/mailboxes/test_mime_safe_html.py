"""HTML that is put before people: nothing in it acts, loads what it may not, or costs more than a moment to make."""

import re
import time

import pytest

from mailboxes import mime
from mailboxes.mime import safe_html as module
from mailboxes.mime.bodies import preview
from mailboxes.mime.budget import MAX_BODY_CHARACTERS
from mailboxes.mime.safe_html import safe_html
from tests.mailboxes.test_mime_hostile import SOON_S


@pytest.mark.parametrize(
    "html, expected",
    [
        ("<p>Hi <b>there</b></p>", "<p>Hi <b>there</b></p>"),
        (
            '<a href="https://example.net/?a=1&b=2" target=_blank onclick="x()">x</a>',
            '<a href="https://example.net/?a=1&amp;b=2" rel="noopener noreferrer">x</a>',
        ),
        ('<a href="mailto:a@example.net">x</a>', '<a href="mailto:a@example.net" rel="noopener noreferrer">x</a>'),
        ('<img src="cid:logo@example.org" alt=x onerror=y>', '<img src="cid:logo@example.org" alt="x">'),
        ('<p style="color: red; position: fixed; background: url(//x)">x</p>', '<p style="color:red">x</p>'),
        ("<script>alert(1)</script>a<style>p{}</style>b<title>t</title>c", "abc"),
        ("<form action=/x><input name=y><button>z</button></form>", "z"),
        ("<!-- secret --><p>x</p>", "<p>x</p>"),
        ("<iframe src=https://example.net/>x</iframe>y", "y"),
        ("<object data=x>y</object><embed src=z><base href=//x><meta http-equiv=refresh>w", "w"),
        ("<p id=console class=btn name=x>x</p>", "<p>x</p>"),
        ("", ""),
        ("  \n", ""),
    ],
)
def test_what_is_allowed_stays_and_all_else_goes(html: str, expected: str) -> None:
    assert safe_html(html) == expected


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\tscript:alert(1)",
        "data:text/html,x",
        "java&#1;script:alert(1)", "&#1;javascript:alert(1)", "java&#x0;script:alert(1)",
        "java&NewLine;script:alert(1)",
        "java\x01script:alert(1)", "java&#x9d;script:alert(1)", "vbscript:x", "file:///etc/passwd",
        "ftp://example.net/",
        "//example.net/", "/admin/logout/", "?delete=1", "#top", "\\\\example.net\\x", "blob:x", "about:blank",
        "ws://x/",
        "javascript&colon;alert(1)", "&#106;avascript:alert(1)", "view-source:javascript:x",
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ['<a href="{}">x</a>', "<a href='{}'>x</a>", '<img src="{}">', '<a href="{}"><b>x'])
def test_a_link_leads_nowhere_else(url: str, form: str) -> None:
    safe = safe_html(module.clean_text(form.format(url)))
    assert safe is not None
    assert "href" not in safe
    assert "src" not in safe


@pytest.mark.parametrize(
    "html",
    [
        "<svg onload=alert(1)><script>alert(1)</script></svg>", "<math><mi//xlink:href='javascript:alert(1)'>x",
        "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<noscript><p title='</noscript><img src=x onerror=y>'>",
        "<table><td><svg><desc><img src=x onerror=alert(1)>", "<xmp><script>alert(1)</script></xmp>",
        "<select><template><script>x</script></template></select>", "<img src=x onerror=alert(1)//",
        "<b <script>alert(1)</script>0", "<<script>alert(1)//<</script>", '<p style="x:expression(alert(1))">x',
        '<img """><script>alert(1)</script>">', "<details open ontoggle=alert(1)>x",
        "<a href=x:y onmouseover=alert(1)>x",
        "<plaintext><script>alert(1)</script>", "<textarea><script>alert(1)</script></textarea>",
        "<!--><script>alert(1)</script>-->", "<?x <script>alert(1)</script>?>", "<![CDATA[<script>alert(1)</script>]]>",
        "<p>a&#0;b&#27;c&#x80;d&#xd800;e</p>",
    ],
)  # fmt: skip
def test_nothing_acts(html: str) -> None:
    safe = safe_html(html)
    assert safe is not None
    tags = re.findall(r"<[^>]*>", safe)
    assert not [
        tag for tag in tags if re.search(r"script|svg|math|template|iframe|\bon\w+=|style=\"x", tag, re.IGNORECASE)
    ]
    assert safe_html(safe) == safe
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]", safe)


# what a browser's tree could cost


BOMBS = {
    "500 kB of div": "<div>" * 100_000,
    "div and paragraphs": "<div>" * 11_000 + "<p>x</p>" * 24_000,
    "spans that nothing closes": "<span>" * 11_000 + "</b>" * 48_000,
    "lists": "<span>" * 11_000 + "<li>" * 48_000,
    "formatting in each paragraph": "<p>" + "".join(f"<font size={n}>" for n in range(1000)) + "</p>" + "<p>x" * 2000,
    "formatting that differs after a quoted bracket": "<p>"
    + "".join(f'<font x=">" y={n}>' for n in range(1000))
    + "</p>"
    + "<p>x" * 2000,
    "attributes": "<p " + " ".join(f"a{n}" for n in range(100_000)) + ">",
    "attributes with tags in them": "<p " + " ".join(f'a{n}="<p>"' for n in range(60_000)) + ">",
    "ampersands": "& " * 500_000,
    "tags never ended": "<a " * 300_000,
    "tags in tags never ended": "<a x='" * 150_000,
    "comments": "<!--" * 250_000,
    "nested tables": "<table><tr><td>" * 60_000,
    "brackets": "<" * 1_000_000,
    "closing": "</div>" * 160_000,
    "closing in comments": "<div><!--</div>-->" * 50_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_made_safe_or_left_alone_soon(name: str) -> None:
    started = time.monotonic()
    safe = safe_html(BOMBS[name])
    assert time.monotonic() - started < SOON_S
    assert safe is None or len(safe) < 30_000_000


# units that something may be looked for behind, in vain, again and again
RUNS = {
    "comments never closed": "<!--",
    "comments that nearly close": "<!-- --",
    "dashes": "-",
    "brackets": "<",
    "declarations": "<!",
    "instructions": "<?",
    "closing tags of nothing": "</",
    "sections": "<![CDATA[",
    "numbers of characters": "&#",
    "hexadecimal ones": "&#x",
    "styles": "<style>",
    "scripts": "<script>",
    "scripts in comments in scripts": "<script><!--",
    "double quotes": '<a x="',
    "single quotes": "<a x='",
    "both quotes": "<a x=\"'",
    "values": "<a x=",
    "tags in tags": "<p ",
    "long names": "<" + "a" * 33,
    "slashes": "<a/",
    "tables": "<table><tr><td>",
    "tables in links": "<a><table>",
    "blanks": "<a ",
    "braces in styles": "<p style='a:{(",
    "cids": "<img src=cid:",
}
BEFORE = {
    "nothing": "",
    "divs": "<div>" * 7_500,  # so many that it is looked at how deep they are
    "a script": "<script>",
    "a comment": "<!--",
    "a value": "<p x='",
    "tags and a quote": "<p " * 499 + 'x=">',
}


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("unit", RUNS)
def test_what_never_ends_is_looked_at_once(unit: str, before: str) -> None:
    """A mebicharacter each: what costs the square of that, would take minutes."""
    html = BEFORE[before] + RUNS[unit] * (MAX_BODY_CHARACTERS // len(RUNS[unit]))
    started = time.monotonic()
    safe_html(html)
    preview("", html, is_html_first=True)
    assert time.monotonic() - started < SOON_S


@pytest.mark.parametrize("unit", RUNS)
def test_counting_costs_what_its_length_costs(unit: str) -> None:
    """Without what is built afterwards: four times as much may take no more than some nine times as long."""

    def cost_s(times: int) -> float:
        html = "<div>" * 7_500 + RUNS[unit] * times
        started = time.process_time()
        module._depth(html)
        module._has_too_many_attributes(html)
        return time.process_time() - started

    few = 20_000
    assert min(cost_s(4 * few) for _ in range(2)) < 9 * max(min(cost_s(few) for _ in range(3)), 0.02)


@pytest.mark.parametrize(
    "html, depth",
    [
        ("<div><div></div></div><div>", 2),
        ("<div><!--</div>--><div><!--</div>--!><div>", 3),  # what is in a comment closes nothing
        ("<!--><div></div><div><!--></div>-->", 1),  # these two end where they begin
        ("<!---><div><!--</div>--><div>", 2),
        ("<!--[if mso]><table><![endif]--><div></div><!--[if mso]></table><![endif]-->" * 3, 2),
        ("<div><!--</div><div>", 2),  # one that does not end hides nothing that opens
        ("<!--!></div><div>--><div>", 2),
    ],
)
def test_depth_is_never_counted_too_low_for_a_comment(html: str, depth: int) -> None:
    assert module._depth(html) == depth


def test_500_kb_of_div_are_not_built_at_all_and_the_mail_says_so() -> None:
    mail = mime.parse(b"Subject: s\r\nContent-Type: text/html\r\n\r\n" + b"<div>" * 100_000 + b"\r\n")
    assert (mail.status, mail.defects, mail.html_safe) == ("partial", ("html_too_complex",), "")
    assert mail.html.startswith("<div><div>")


def test_a_long_newsletter_is_not_too_complex() -> None:
    row = (
        "<tr><td style='padding:0 10px' width=600><!--[if mso]><table><tr><td><![endif]--><div class=x><a "
        "href='https://example.org/{0}'><span style='color:#333'>Item {0} &nbsp; &amp; more</span></a></div>"
        "<!--[if mso]></td></tr></table><![endif]--><p>Some words about it<br></td></tr>"
    )
    html = "<html><body><table>" + "".join(map(row.format, range(2500))) + "</table></body></html>"
    assert len(html) > 600_000
    safe = safe_html(html)
    assert safe is not None
    assert safe.count('rel="noopener noreferrer"') == 2500


def test_two_tags_with_other_attributes_are_never_taken_for_the_same() -> None:
    html = """<b x=">" y=1><b x=">" y=2><b x="<" y=1><b x="<" y=2><b><b>"""
    starts = [match.start() for match in re.finditer("<b", html)]
    assert len({module._written(html, start) for start in starts}) == 5
