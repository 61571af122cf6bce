import logging
from io import StringIO

import pytest

from emailgistics.common import logs


@pytest.mark.parametrize("style", ["text", "json"])
def test_a_logged_fault_shows_where_it_was_and_no_local_variable(style: str) -> None:
    heard = StringIO()
    logs.logging_config(style=style, level="WARNING")
    (ours,) = [handler for handler in logging.getLogger().handlers if type(handler) is logging.StreamHandler]
    heard_by = logging.StreamHandler(heard)
    heard_by.setFormatter(ours.formatter)
    logging.getLogger().addHandler(heard_by)
    try:
        fail("whsec_secret")
    finally:
        logging.getLogger().removeHandler(heard_by)
        logs.logging_config(style="text", level="WARNING")
    assert "ZeroDivisionError" in heard.getvalue()
    assert "test_logs" in heard.getvalue()
    assert "whsec_secret" not in heard.getvalue()


def fail(secret: str) -> None:
    try:
        len(secret) / 0
    except ZeroDivisionError:
        logs.get_logger("test").exception("it.failed", note="\x1b[31m")
