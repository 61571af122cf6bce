"""The mbox format: what goes in comes back, whatever it is."""

import mailbox as stdlib
import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes import mbox

AT = datetime(2026, 6, 1, 9, 5, 3, tzinfo=timezone(timedelta(hours=2)))
LINE = st.sampled_from([b"From ", b">From x", b">>From ", b"from ", b" From ", b"", b"\r", b"\xff\x00", b"From"])
RAW = st.lists(st.tuples(LINE, st.sampled_from([b"\r\n", b"\n"])), min_size=1).map(
    lambda lines: b"".join(text + end for text, end in lines)
)


def read_back(path: Path) -> list[bytes]:
    """By the standard library, which knows the format without its quoting."""
    box = stdlib.mbox(path, create=False)
    try:
        return [mbox.unquoted(box.get_bytes(key)) for key in box.iterkeys()]
    finally:
        box.close()


@given(raws=st.lists(RAW, min_size=1, max_size=4))
def test_every_raw_comes_back_octet_for_octet(raws: list[bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("mbox") / "all.mbox"
    path.write_bytes(b"".join(mbox.entry(raw, mail_from="ada@example.net", received_at=AT) for raw in raws))
    assert read_back(path) == raws


def test_the_first_line_names_the_envelope_sender_and_when_it_came_in_utc() -> None:
    def line(mail_from: str) -> bytes:
        return mbox.entry(b"\r\n", mail_from=mail_from, received_at=AT).partition(b"\n")[0]

    assert line("ada@example.net") == b"From ada@example.net Mon Jun  1 07:05:03 2026"
    assert line("") == b"From MAILER-DAEMON Mon Jun  1 07:05:03 2026"
    # a reader takes the line apart by its spaces, and as ASCII
    assert line('"a b"@example.net') == b'From "a_b"@example.net Mon Jun  1 07:05:03 2026'
    assert re.fullmatch(rb"From [!-~]+ Mon Jun  1 07:05:03 2026", line("j\u00f6rg@example.net"))


def test_a_mail_without_a_last_line_end_gets_one(tmp_path: Path) -> None:
    path = tmp_path / "one.mbox"
    path.write_bytes(mbox.entry(b"a: b\n\nend", mail_from="", received_at=AT.astimezone(UTC)) * 2)
    assert read_back(path) == [b"a: b\n\nend\n"] * 2
