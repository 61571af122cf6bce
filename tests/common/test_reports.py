"""A report of a fault, as Django would send or show it."""

import secrets
import sys

import pytest
from django.test import RequestFactory
from django.views.debug import get_exception_reporter_class
from pytest_django import Settings

KEY = "emgk_EXAMPLE000_ThisIsAnExampleAndOpensNothing0002xmK9"
HEADER_VALUE = secrets.token_hex(16)  # not written here: reports quote the lines around a fault


def fail(plaintext: str, headers: dict[str, str]) -> None:
    copied = [plaintext, headers]
    try:
        int(plaintext)
    except ValueError as error:
        raise RuntimeError(f"{len(copied)} things, one of them {plaintext}") from error


@pytest.mark.parametrize("debug", [False, True])
def test_a_report_quotes_no_secret(settings: Settings, *, debug: bool) -> None:
    settings.DEBUG = debug
    request = RequestFactory().post(
        f"/v1/{KEY}?key={KEY}",
        {"secret": KEY, "headers": HEADER_VALUE},
        headers={"Authorization": f"Bearer {KEY}", "X-API-KEY": KEY, "Referer": f"http://testserver/?key={KEY}"},
    )
    try:
        fail(KEY, {"X-Token": HEADER_VALUE})
    except RuntimeError:
        report = get_exception_reporter_class(request)(request, *sys.exc_info(), is_email=not debug)
    for text in (report.get_traceback_text(), report.get_traceback_html()):
        assert "RuntimeError" in text
        assert "emgk_EXAMPLE000_***" in text  # which key it was is no secret
        assert KEY[-20:] not in text
        assert HEADER_VALUE not in text
