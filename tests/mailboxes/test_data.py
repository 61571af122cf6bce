import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.smtp.data import DataScanner

UNLIMITED = 10**9


def scan(stream: bytes, *, cuts: list[int] | None = None, limit: int = UNLIMITED) -> tuple[bool, bytes | None, bytes]:
    """(ended, octets, rest) of a stream that arrives cut at these places; what comes after the end is not fed."""
    scanner = DataScanner(limit=limit)
    places = sorted({0, *(cuts or []), len(stream)})
    for start, stop in itertools.pairwise(places):
        if scanner.feed(stream[start:stop]):
            return True, scanner.take(), scanner.rest + stream[stop:]
    return False, scanner.take(), b""


def read_slowly(stream: bytes) -> tuple[bytes, bytes] | None:
    """RFC 5321 section 4.5.2 in its own words, line by line: (octets, rest), None without an end."""
    octets = b""
    while b"\r\n" in stream:
        line, _, stream = stream.partition(b"\r\n")
        if line == b".":
            return octets, stream
        octets += (line[1:] if line.startswith(b".") else line) + b"\r\n"
    return None


TRICKY = b"..a\r\n.\rb\r\n...\r\n\n.\n\n.\r\nc\r.\r\r\n.d\r\n\r\n.\r\r\n.\r\nRSET\r\n.\r\n"
TRICKY_OCTETS = b".a\r\n\rb\r\n..\r\n\n.\n\n.\r\nc\r.\r\r\nd\r\n\r\n\r\r\n"


def test_it_reads_the_same_wherever_the_stream_is_cut() -> None:
    expected = (True, TRICKY_OCTETS, b"RSET\r\n.\r\n")
    assert read_slowly(TRICKY) == expected[1:]
    for first in range(len(TRICKY) + 1):
        for second in range(first, len(TRICKY) + 1):
            assert scan(TRICKY, cuts=[first, second]) == expected, (first, second)
    assert scan(TRICKY, cuts=list(range(len(TRICKY)))) == expected


@pytest.mark.parametrize(
    "pretended",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r\n.\n", b"\r\n.\r", b"\r.\r\n", b"\n.\r", b"\r\r\n.\r\r\n", b"\r\n\x00.\r\n"],
)
def test_only_crlf_dot_crlf_ends_a_mail(pretended: bytes) -> None:
    smuggled = b"MAIL FROM:<root@example.com>\r\n"
    ended, octets, rest = scan(b"a" + pretended + smuggled + b".\r\nQUIT\r\n")
    assert (ended, rest) == (True, b"QUIT\r\n")
    assert octets is not None
    assert octets.endswith(smuggled)


@pytest.mark.parametrize(
    "stream, octets",
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b".\n.\r\n\r\n.\r\n", b"\n.\r\n\r\n"),
        (b"\x00\xff\r\n.\r\n", b"\x00\xff\r\n"),
    ],
)
def test_the_start_is_the_start_of_a_line(stream: bytes, octets: bytes) -> None:
    for cut in range(len(stream)):
        assert scan(stream, cuts=[cut]) == (True, octets, b"")


def test_a_stream_without_terminator_does_not_end() -> None:
    assert scan(b"\n.\r\n.\rQUIT\r\n.\r")[0] is False


def test_a_mail_of_exactly_the_limit_is_kept_and_one_more_octet_is_not() -> None:
    assert scan(b"..abc\r\n.\r\n", limit=6) == (True, b".abc\r\n", b"")
    assert scan(b"..abc\r\n.\r\n", limit=5) == (True, None, b"")


def test_the_end_of_an_oversize_mail_is_found_as_strictly() -> None:
    # a reader that cuts what it drops takes the end of "foo.CRLF" for the end of the mail at some cut
    stream = b"a" * 50 + b"\r\nfoo.\r\nMAIL FROM:<root@example.com>\r\n\n.\r\n..\r\n.\r\nQUIT\r\n"
    for limit in range(60):
        for size in (1, 2, 3, 5, 7, 11, 13, len(stream)):
            assert scan(stream, cuts=list(range(0, len(stream), size)), limit=limit) == (True, None, b"QUIT\r\n")


# few octets, so that terminators and what resembles them come up all the time
streams = st.lists(st.sampled_from([b"\r", b"\n", b".", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"a"]), max_size=25).map(
    b"".join
)


@given(stream=streams, cuts=st.lists(st.integers(0, 60), max_size=20), limit=st.sampled_from([0, 1, 5, 10, UNLIMITED]))
def test_it_agrees_with_the_rule_read_line_by_line(stream: bytes, cuts: list[int], limit: int) -> None:
    ended, octets, rest = scan(stream, cuts=[cut for cut in cuts if cut < len(stream)], limit=limit)
    expected = read_slowly(stream)
    assert ended == (expected is not None)
    if expected is not None:
        assert octets == (expected[0] if len(expected[0]) <= limit else None)
        assert rest == expected[1]


@given(raw=st.binary(max_size=200))
def test_any_octets_come_back_as_they_were(raw: bytes) -> None:
    raw += b"\r\n"
    stuffed = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]
    assert scan(stuffed + b".\r\n", cuts=[len(stuffed) // 2]) == (True, raw, b"")
