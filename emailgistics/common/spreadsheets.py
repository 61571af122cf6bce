"""Cells of CSV files that a spreadsheet shows, and never runs.

A spreadsheet takes a cell that begins with `=`, `+`, `-` or `@` for a formula, whatever the file's quotes say, and some
take off quotes, spaces and invisible characters first, or read the full-width and small forms of those as the plain
ones. An apostrophe in front makes it a text. What is numbers, dates or ids of ours needs none of this: write it as it
is.
"""

import re

APOSTROPHE = "'"
# what is skipped before a formula: white space, invisible characters, quotation marks
_SKIPPED = (
    r"\s\x00-\x20\x7f-\xa0\xad\u034f\u061c\u180e\u200b-\u200f\u2028-\u202f\u205f-\u206f\ufeff"
    r"'\"`\xb4\xab\xbb\u2018-\u201f\uff02\uff07"
)
# = + - @ with their full-width and small forms, and the minus sign, which is one for some
_STARTS = r"=+\-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b\u2212"
RUN = re.compile(rf"[\t\r\n]|[{_SKIPPED}]*[{_STARTS}\t\r\n]")


def defused(text: str) -> str:
    """The cell for that text, which no spreadsheet runs; `restored` makes the text of it again."""
    return APOSTROPHE + text if RUN.match(text) else text


def restored(cell: str) -> str:
    """The text that a cell was made of by `defused`; what nobody had to defuse stays as it is."""
    return cell[1:] if cell.startswith(APOSTROPHE) and RUN.match(cell, 1) else cell
