"""Every kind of answer tells browsers what they may do with it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from emailgistics.common import safe_headers
from emailgistics.common.access import Scope
from tests.apikeys.factories import make_client
from tests.console.conftest import PASSWORD, make_person
from tests.factories import make_email, make_mailbox
from tests.webhooks.events import data_of, make_event

pytestmark = pytest.mark.django_db

MAIL = b"Subject: x\r\nContent-Type: text/html\r\n\r\n<p>y</p>\r\n"
JSON: dict[str, Any] = {"content_type": "application/json"}
# but for what a row says otherwise
EVERY_ANSWER = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": safe_headers.NO_DEVICES,
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
CONSOLE = "script-src 'self' 'unsafe-eval'"
DOCUMENTATION = "script-src 'self'"
NO_SCRIPT = "sandbox; default-src 'none'"
ONE_YEAR = "max-age=31536000"
KEPT_BY_NOBODY, ASKED_AGAIN = "no-store", "private, no-cache"
LINK = {"Cross-Origin-Resource-Policy": "cross-origin", "Referrer-Policy": "no-referrer"}
FRAME = {"X-Frame-Options": "SAMEORIGIN", "Referrer-Policy": "no-referrer"}


@dataclass(frozen=True)
class Kind:
    """Of an answer: who is given it, and for what. csp are directives that it has, kept is a part of Cache-Control."""

    status: int
    who: str  # key, person, nobody
    path: str
    csp: str = CONSOLE
    kept: str = KEPT_BY_NOBODY
    method: str = "get"
    sent: dict[str, Any] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    times: int = 1  # that it is asked for

    def __str__(self) -> str:
        return f"{self.status} {self.method} {self.path} {self.who}"


KINDS = [
    # the API
    Kind(200, "key", "/v1/me", kept=ASKED_AGAIN),
    Kind(200, "key", "/v1/domains", kept=ASKED_AGAIN),
    Kind(200, "key", "/v1/emails"),
    Kind(200, "key", "{email}"),
    Kind(200, "key", "{email}/raw", csp=NO_SCRIPT),
    Kind(200, "key", "/v1/domains", kept=ASKED_AGAIN, method="options"),
    Kind(204, "key", "{email}", method="delete"),
    Kind(304, "key", "/v1/domains", kept=ASKED_AGAIN, sent={"headers": {"If-None-Match": "*"}}),
    Kind(400, "key", "/v1/aliases", kept=ASKED_AGAIN, method="post", sent=JSON | {"data": "{}"}),
    Kind(400, "key", "/v1/me", csp=safe_headers.NO_PAGE, sent={"headers": {"Host": "other.example"}}),
    Kind(401, "nobody", "/v1/me"),
    Kind(403, "narrow key", "/v1/domains", kept=ASKED_AGAIN),
    Kind(404, "key", "/v1/emails/email_nothing"),
    Kind(404, "key", "/v1/nothing"),
    Kind(405, "key", "/v1/me", method="put"),
    Kind(
        413, "key", "/v1/aliases", csp=safe_headers.NO_PAGE, method="post", sent=JSON | {"data": " " * (1 << 20) + "{}"}
    ),
    Kind(415, "key", "/v1/aliases", kept=ASKED_AGAIN, method="post", sent={"data": "x", "content_type": "text/plain"}),
    Kind(429, "key", "/v1/me", kept="", times=2),
    Kind(500, "broken key", "/v1/me"),
    # the console
    Kind(200, "nobody", "/admin/login/"),
    Kind(200, "person", "/admin/"),
    Kind(200, "person", "/admin/mailboxes/email/"),
    Kind(200, "person", "{page}"),
    Kind(200, "person", "{page of}html/", csp=NO_SCRIPT, others=FRAME),
    Kind(200, "person", "{page of}raw/", csp=NO_SCRIPT),
    Kind(302, "nobody", "/"),
    Kind(302, "nobody", "/admin/"),
    Kind(302, "nobody", "/favicon.ico"),
    Kind(400, "nobody", "/", sent={"headers": {"Host": "other.example"}}),
    Kind(403, "ordinary", "/admin/"),
    Kind(403, "forger", "/admin/logout/", method="post"),
    Kind(404, "nobody", "/nothing"),
    Kind(404, "person", "/admin/nothing/"),
    Kind(405, "person", "{page of}pictures/"),
    Kind(500, "broken console", "/admin/"),
    # documentation, links, probes, files
    Kind(200, "person", "/docs", csp=DOCUMENTATION, kept=ASKED_AGAIN),
    Kind(200, "person", "/docs/guide", csp=DOCUMENTATION, kept=ASKED_AGAIN),
    Kind(200, "person", "/docs/verify/verify.py", csp=DOCUMENTATION, kept=ASKED_AGAIN),
    Kind(200, "person", "/docs/openapi.json", kept=ASKED_AGAIN),
    Kind(302, "nobody", "/docs", kept=ASKED_AGAIN),
    Kind(404, "person", "/docs/nothing"),
    Kind(429, "person", "/docs", times=2),
    Kind(200, "nobody", "{link}", csp=NO_SCRIPT, others=LINK),
    Kind(404, "nobody", "/files/nothing", csp=NO_SCRIPT, others=LINK),
    Kind(404, "nobody", "{link}x", csp=NO_SCRIPT, others=LINK),
    Kind(200, "nobody", "/healthz/live", csp=safe_headers.NO_PAGE),
    Kind(404, "nobody", "/metrics", csp=safe_headers.NO_PAGE),
    Kind(405, "nobody", "/healthz/live", csp=safe_headers.NO_PAGE, method="post"),
    Kind(200, "nobody", "/static/emailgistics/console.css", csp=safe_headers.NO_PAGE, kept="public"),
    Kind(404, "nobody", "/static/emailgistics/nothing.css"),
]


@pytest.fixture
def ask(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[Kind], Any]:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]

    def client(who: str) -> Client:
        if who == "broken key":
            monkeypatch.setattr("apikeys.authentication.ApiKeyAuthentication.authenticate", lambda *_: 1 / 0)
        if who == "broken console":
            monkeypatch.setattr("emailgistics.console.figures.of_webhooks", lambda: 1 / 0)
        if who.endswith("key"):
            return make_client(scopes=[Scope.EMAILS_READ]) if who == "narrow key" else make_client()
        made = Client(enforce_csrf_checks=who == "forger")
        if who != "nobody":
            made.force_login(make_person("ordinary" if who == "ordinary" else "superuser"))
        return made

    def asked(kind: Kind) -> Any:
        if kind.times > 1:
            settings.DOCS_PER_MINUTE = settings.RATE_LIMIT_MINUTE = settings.RATE_LIMIT_HOUR = 1
        made = client(kind.who)
        made.raise_request_exception = False
        for _ in range(kind.times):
            answer = getattr(made, kind.method)(_path(kind.path), **kind.sent)
        return answer

    return asked


def _path(path: str) -> str:
    if "{link}" in path:
        return path.replace("{link}", urlsplit(data_of(make_event(MAIL))["raw"]["url"]).path)
    if "{" not in path:
        return path
    make_mailbox()
    email = make_email(raw=MAIL)
    page = reverse("admin:mailboxes_email_change", args=[email.pk])
    places = {"{email}": f"/v1/emails/{email.public_id}", "{page}": page, "{page of}": page.removesuffix("change/")}
    for place, value in places.items():
        path = path.replace(place, value)
    return path


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_kind_of_answer_has_every_header(ask: Callable[[Kind], Any], kind: Kind) -> None:
    answer = ask(kind)
    answer.close()  # a file
    assert answer.status_code == kind.status
    expected = EVERY_ANSWER | kind.others
    assert {name: answer.headers.get(name) for name in expected} == expected
    assert set(kind.csp.split("; ")) <= set(answer["Content-Security-Policy"].split("; "))
    assert kind.kept in answer["Cache-Control"]
    assert "Access-Control-Allow-Origin" not in answer
    assert "Strict-Transport-Security" not in answer  # it is not https


@pytest.mark.parametrize("base_url", ["https://Mail.Example.com", "https://mail.example.com:443"])
def test_https_is_kept_to_however_the_host_of_base_url_is_written(base_url: str, settings: Any) -> None:
    settings.BASE_URL, settings.SECURE_HSTS_SECONDS, settings.ALLOWED_HOSTS = base_url, 31_536_000, ["*"]
    answer = Client().get("/healthz/live", headers={"Host": "mail.example.com"})
    assert answer.headers.get("Strict-Transport-Security") == ONE_YEAR


@pytest.mark.parametrize("path", ["/admin/login/", "/v1/me", "/healthz/live", "/static/emailgistics/console.css"])
def test_https_is_kept_to_where_it_is_told(path: str, settings: Any) -> None:
    """Behind a proxy, too, where no request looks like https; not to whom another name leads here."""
    settings.BASE_URL, settings.SECURE_HSTS_SECONDS = "https://mail.example.com", 31_536_000
    settings.ALLOWED_HOSTS = ["*"]
    for host, told in (("mail.example.com", ONE_YEAR), ("MAIL.example.com", ONE_YEAR), ("10.0.0.1", None)):
        answer = Client().get(path, headers={"Host": host})
        answer.close()
        assert answer.headers.get("Strict-Transport-Security") == told


@pytest.mark.parametrize(("who", "path"), [("key", "{email}/raw"), ("person", "{page of}raw/"), ("nobody", "{link}")])
def test_what_is_downloaded_is_saved_and_is_no_page(ask: Callable[[Kind], Any], who: str, path: str) -> None:
    answer = ask(Kind(200, who, path))
    assert answer["Content-Disposition"].startswith("attachment; filename=")
    assert answer["Content-Type"] == "message/rfc822"


def test_cookies_are_for_this_host_and_not_for_scripts(settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    make_person("superuser")
    browser = Client()
    browser.get("/admin/login/")
    browser.post("/admin/login/", {"username": "superuser", "password": PASSWORD})
    assert {"sessionid", "csrftoken"} < set(browser.cookies)
    for cookie in browser.cookies.values():
        kept = (cookie["httponly"], cookie["samesite"], cookie["domain"], cookie["path"], cookie["secure"])
        assert kept == (True, "Lax", "", "/", ""), cookie.key
