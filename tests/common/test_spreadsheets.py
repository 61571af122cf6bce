import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailgistics.common.spreadsheets import APOSTROPHE, defused, restored

WIDE = "\uff1d\uff0b\uff0d\uff20"
RISKY = st.text(st.one_of(st.sampled_from("=+-@\t\r\n '\"" + WIDE + "\ufe66\u2212\ufeff\u200babc;,"), st.characters()))


@given(RISKY)
def test_what_is_defused_is_restored_whatever_it_is(text: str) -> None:
    assert restored(defused(text)) == text


@given(RISKY)
def test_a_cell_begins_with_an_apostrophe_or_with_nothing_that_is_run(text: str) -> None:
    cell = defused(text)
    assert cell.startswith(APOSTROPHE) or cell.strip(" '\"")[:1] not in {*("=+-@\t\r\n" + WIDE)}


@pytest.mark.parametrize(
    "text",
    [
        "=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\n=1", '"=1', "'=1", "  =1", "\u00a0=1", "\ufeff=1",
        "\u200b=1", "\x00=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201", "\u22121", "' \"=1", "\tplain",
    ],
)  # fmt: skip
def test_what_a_spreadsheet_would_run_is_defused(text: str) -> None:
    assert defused(text) == APOSTROPHE + text


@pytest.mark.parametrize("text", ["", "help", "a=b", "1-2", "'quoted'", "O'Neill", "help+tag", "*", "'", '"', " "])
def test_what_no_spreadsheet_runs_stays_as_it_is(text: str) -> None:
    assert defused(text) == text
    assert restored(text) == text
