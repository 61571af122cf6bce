import json
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.template import Context, Engine
from django.test import Client

from emailgistics.common import logs


@contextmanager
def heard(*, style: str = "text", level: str) -> Iterator[StringIO]:
    """What is logged within the block, as an operator with these settings reads it."""
    text = StringIO()
    logs.logging_config(style=style, level=level)
    (ours,) = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    heard_by = logging.StreamHandler(text)
    heard_by.setFormatter(ours.formatter)
    logging.getLogger().addHandler(heard_by)
    try:
        yield text
    finally:
        logging.getLogger().removeHandler(heard_by)
        logs.logging_config(style="text", level="WARNING")


@pytest.mark.on_both
@pytest.mark.parametrize("style", ["text", "json"])
def test_a_logged_fault_shows_where_it_was_and_no_local_variable(style: str) -> None:
    with heard(style=style, level="WARNING") as text:
        fail("whsec_secret")
    assert "ZeroDivisionError" in text.getvalue()
    assert "test_logs" in text.getvalue()
    assert "whsec_secret" not in text.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_template_that_lacks_a_name_tells_no_log_what_it_was_given(style: str) -> None:
    template = Engine().from_string("{{ key }}{{ nothing }}{% if nothing.at_all %}{% endif %}")
    with heard(style=style, level="DEBUG") as text:
        assert template.render(Context({"key": "emgk_secret"})) == "emgk_secret"
        logging.getLogger("django.template.elsewhere").debug("emgk_secret")
        logging.getLogger("test").debug("but this is heard")
    assert "but this is heard" in text.getvalue()
    assert "emgk_secret" not in text.getvalue()


def fail(secret: str) -> None:
    try:
        len(secret) / 0
    except ZeroDivisionError:
        logs.get_logger("test").exception("it.failed", note="\x1b[31m")


TOKEN = "k1_Sm9pIQ7u7Ck5v0uQ1n7o2n9w8Gf3Zb0cXh4tRz6yLwE"
EVENT = "evt_01jd2x8ks2f0b9t4k6y1r3m5pz"


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        f"/files/{EVENT}/raw/{TOKEN}",
        f"https://mail.example.com/files/{EVENT}/raw/{TOKEN}?x=1",
        f'10.0.0.1 - "GET /files/{EVENT}/raw/{TOKEN} HTTP/1.1" 200',
        f"/admin/login/?next=%2Ffiles%2F{EVENT}%2Fraw%2F{TOKEN}",
        f"Not Found: /FILES/{EVENT}/raw/k%31{TOKEN[2:]}",
        f"/files/{EVENT}/raw/%6b1_%53{TOKEN[4:]}",
        f"/files/x/y/{TOKEN[3:]}",
        f"the token {TOKEN} alone",
        f"{{'url': 'http://h/files/{EVENT}/raw/{TOKEN}'}}",
    ],
)
def test_no_log_has_a_link_that_opens_something(style: str, text: str) -> None:
    secret = TOKEN[-30:]
    with heard(style=style, level="INFO") as written:
        logging.getLogger("django.request").warning("Not Found: %s", text, extra={"status_code": 404})
        logging.getLogger("_granian").warning(text)
        logs.get_logger("test").info("files.read", path=text, of=[text])
        try:
            int(text)
        except ValueError:
            logs.get_logger("test").exception("failed", where=text)
    lines = written.getvalue()
    assert secret not in lines
    assert lines.count("***") >= 5
    if style == "json":
        assert all(json.loads(line) for line in lines.splitlines())


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_log_has_all_else_of_a_path(style: str) -> None:
    with heard(style=style, level="INFO") as written:
        logging.getLogger("test").info("%s /v1/emails/email_1/raw /files/ /files/a/b", f"/files/{EVENT}/raw/{TOKEN}")
    assert f"/files/{EVENT}/raw/*** /v1/emails/email_1/raw /files/ /files/a/b" in written.getvalue()


def test_masking_is_linear() -> None:
    for line in ("/files/" * 40_000, "%2Ffiles%2F" * 25_000, "/files/" + "a" * 300_000, "k1_" * 100_000,
                 "emgk_aaaaaaaaaa_" * 20_000, "whsec_" * 50_000, "://" * 100_000, "://" + "a" * 300_000):  # fmt: skip
        started = time.perf_counter()
        logs.masked(line)
        assert time.perf_counter() - started < 5, line[:20]


KEY = "emgk_EXAMPLE000_ThisIsAnExampleAndOpensNothing0002xmK9"
WEBHOOK_SECRET = "whsec_VGhpc0lzQW5FeGFtcGxlQW5kT3BlbnNOb3RoaW5nMDA="


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        f"/v1/me?api_key={KEY}",
        f"/v1/emails/{KEY}/raw",
        f"Authorization: Bearer {KEY}",
        f"{{'secret': '{WEBHOOK_SECRET}'}}",
        f"?secret={WEBHOOK_SECRET.replace('=', '%3D')}",
        f"{WEBHOOK_SECRET} {KEY}",
    ],
)
def test_no_log_has_a_key_or_a_webhook_secret(style: str, text: str) -> None:
    with heard(style=style, level="INFO") as written:
        logging.getLogger("django.request").warning("Not Found: %s", text, extra={"status_code": 404})
        logs.get_logger("test").info("seen", path=text, of=[text])
        try:
            int(text)
        except ValueError:
            logs.get_logger("test").exception("failed", where=text)
    lines = written.getvalue()
    assert "OpensNothing" not in lines
    assert "VGhpc0lz" not in lines
    assert ("emgk_EXAMPLE000_***" if KEY in text else "whsec_***") in lines


@pytest.mark.on_both
def test_a_request_for_a_link_leaves_no_token_in_any_log(client: Client) -> None:
    path = f"/files/{EVENT}/raw/{TOKEN}"
    with heard(level="INFO") as written:
        assert client.get(path).status_code == 404
        assert client.get(f"/nothing{path}").status_code == 404
    assert "/raw/***" in written.getvalue()
    assert TOKEN[-30:] not in written.getvalue()


ADDRESSED = [
    "Key (address)=(ada@example.net) already exists.",
    "'mail from <ada@example.net>'",
    "Not Found: /v1/routing/ada%40example.net",
    'to "ada"@example.net',
    "\u00e4da@example.net",
    "ada@xn--bcher-kva.example",
    "ada@[192.0.2.1]",
    "postgresql://ada:ada@db.example.com/mail",
]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("text", ADDRESSED)
def test_no_log_has_the_local_part_of_an_address(style: str, text: str) -> None:
    with heard(style=style, level="INFO") as written:
        logging.getLogger("a.library").warning("%s", text)
        logs.get_logger("test").warning("it.happened", reason=text, deep={"in": [text]})
        log_fault(text)
    assert "ada@" not in written.getvalue()
    assert "ada%40" not in written.getvalue()
    assert 'ada"@' not in written.getvalue()
    assert "***" in written.getvalue()
    if style == "json":
        assert [json.loads(line)["level"] for line in written.getvalue().splitlines()] == ["warning"] * 2 + ["error"]


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "cannot reach redis://:hunter2@redis:6379/0",
        "postgresql://mail:hun@ter2@postgres/mail?sslmode=require",
        'new row violates check constraint "x"\nDETAIL:  Failing row contains (01, (hunter2).\n hunter2, null).\n',
    ],
)
def test_no_log_has_the_password_of_a_url_or_a_row_that_the_database_refused(style: str, text: str) -> None:
    with heard(style=style, level="INFO") as written:
        logging.getLogger("a.library").warning("%s", text)
        logs.get_logger("test").warning("it.happened", reason=text, deep={"in": [text]})
        log_fault(text)
    assert "ter2" not in written.getvalue()
    assert written.getvalue().count("***") >= 3
    assert "ter2" not in logs.anonymous(text)


def log_fault(text: str) -> None:
    try:
        int(text)
    except ValueError as error:
        error.args = (text,)
        logs.get_logger("test").exception("it.failed")


@pytest.mark.parametrize("style", ["text", "json"])
def test_nobody_writes_a_line_of_his_own_or_to_the_terminal(style: str) -> None:
    forged = "/a\n2030-01-01T00:00:00Z [info] all.is_well\r\x1b[2J\x9b\u2028"
    with heard(style=style, level="INFO") as written:
        logging.getLogger("a.library").warning("Not Found: %s", forged)
        logs.get_logger("test").warning("it.happened", reason=forged)
        log_fault(forged)
    lines = written.getvalue().split("\n")
    assert sum(line[:1] not in ("", " ") for line in lines) == 3  # what is below an entry begins further right
    assert not any(line.startswith("2030") for line in lines)
    assert not set(written.getvalue()) & set("\r\x1b\x9b\u2028")
