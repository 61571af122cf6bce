import logging
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO

import pytest
from django.template import Context, Engine

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
