"""Which headers a webhook may have of its own; no database here."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailgistics.common.errors import RefusedError
from webhooks import headers, signing, transport

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VALUE = "Bearer a-token-nobody-may-read"


def refusal(given: dict[str, str]) -> str:
    with pytest.raises(RefusedError) as refused:
        headers.check(given)
    assert refused.value.field == "headers"
    assert refused.value.code == "validation_error"
    return refused.value.message


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "X-Api-Key", "X_Tenant", "X-Hub.Signature", "Accept", "!#$%&'*+-.^`|~"]
)
def test_a_token_is_a_name(name: str) -> None:
    headers.check({name: VALUE})


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "X Api", " X-Api", "X-Api ", "X-Api:", "X-Api\r\nHost", "X-Api\n", "X\x00", "X\t", "Ünï", "X-Größe",
        "(x)", "x,y", "x/y", "[x]", "{x}", '"x"', "x=y", "x@y", "x;y", "\ud800", "\u2028", "x" * 101,
    ],
)  # fmt: skip
def test_anything_else_is_none_and_is_named_on_one_line(name: str) -> None:
    told = refusal({name: VALUE})
    assert told.isprintable()
    assert VALUE not in told
    assert "header" in told


RESERVED = [
    "Host", "Connection", "Keep-Alive", "Content-Type", "Content-Length", "Content-Encoding", "content-anything",
    "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Proxy-Authorization", "Proxy-Connection", "Cookie",
    "Set-Cookie", "Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Webhook-Id", "webhook-anything",
    "X-Webhook-Signature", "x-webhook-signature-next", "X-Webhook-Anything", "User-Agent", "Accept-Encoding", "Date",
    "Via", "HTTP2-Settings",
]  # fmt: skip


@pytest.mark.parametrize("spelled", [str, str.lower, str.upper, lambda name: name.replace("-", "_"), str.swapcase])
@pytest.mark.parametrize("name", RESERVED)
def test_ours_and_the_connections_cannot_be_set_in_any_spelling(name: str, spelled: type[str]) -> None:
    told = refusal({spelled(name): "x"})
    assert spelled(name) in told
    assert "Choose another name" in told


def test_none_of_what_we_send_can_be_set() -> None:
    ours = signing.headers(event_id="evt_1", timestamp=1, attempt=1, body=b"{}", secrets=[SECRET, SECRET], version="1")
    assert len(ours) == 9
    for name in ours:
        refusal({name: "x"})


@pytest.mark.parametrize("value", ["x", "a b", "a\tb", "~!@#$%^&*()", '"quoted, list"; q=1', "x" * 4096])
def test_visible_ascii_is_a_value(value: str) -> None:
    headers.check({"X-Api-Key": value})


@pytest.mark.parametrize(
    "value",
    [
        "", " ", " a", "a ", "\ta", "a\t", "a\r\nX-Evil: 1", "a\rb", "a\nb", "a\n", "a\x00b", "a\x7fb", "a\x0bb", "ä",
        "\ud800", "a\u2028b", "\x85",
    ],
)  # fmt: skip
def test_anything_else_is_no_value_and_is_not_quoted(value: str) -> None:
    told = refusal({"X-Api-Key": value})
    assert "X-Api-Key" in told
    assert told.isprintable()
    assert "Evil" not in told


def test_a_value_that_is_too_long_is_told_by_its_length() -> None:
    assert "4097 characters" in refusal({"X-Api-Key": "k" * 4097})


def test_the_mask_is_no_value() -> None:
    assert "give its value" in refusal({"X-Api-Key": "***"})


@pytest.mark.parametrize("other", ["authorization", "AUTHORIZATION"])
def test_two_names_that_differ_in_case_are_one(other: str) -> None:
    told = refusal({"Authorization": "one-value", other: "two-values"})
    assert "Authorization" in told
    assert other in told
    assert "value" not in told


def test_an_underscore_does_not_make_it_another_name() -> None:
    refusal({"X-Tenant-Id": "one", "x_tenant_id": "two"})


def test_there_may_be_twenty_and_six_kilobytes() -> None:
    headers.check({f"X-{number}": "v" for number in range(20)})
    assert "at most 20" in refusal({f"X-{number}": "v" for number in range(21)})
    headers.check({"X-A": "v" * 3000, "X-B": "v" * 3000})
    assert "6144" in refusal({"X-A": "v" * 3100, "X-B": "v" * 3100})


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=3))
def test_what_passes_can_be_sent_as_it_is_and_what_does_not_is_refused_in_one_way(given: dict[str, str]) -> None:
    refused: list[str] = []
    try:
        headers.check(given)
    except RefusedError as error:
        refused.append(error.message)
    if refused:
        assert refused[0].isprintable()
        return
    transport.check_headers(given)
    for name, value in given.items():
        assert re.fullmatch(rb"[!-9;-~]+: [!-~]([\t -~]*[!-~])?", f"{name}: {value}".encode("ascii"))


def test_what_is_shown_has_the_names_only() -> None:
    assert headers.masked(["Authorization", "X-Tenant"]) == {"Authorization": "***", "X-Tenant": "***"}


def test_an_answer_is_kept_without_the_values_that_it_repeats() -> None:
    own = {"Authorization": "Bearer a-token-for-them", "X-Quoted": 'with "quotes" inside', "X-Short": "on"}
    answer = (
        b'{"authorization":"Bearer a-token-for-them","token":"a-token-for-them",'
        b'"quoted":"with \\"quotes\\" inside","on":"\xff"}'
    )
    assert headers.redacted(answer, own) == b'{"authorization":"***","token":"***","quoted":"***","on":"\xff"}'
    assert headers.redacted(answer, {}) == answer


WIDE = "Bearer a-token-for-them"


@pytest.mark.parametrize("seen", [8, 12, len(WIDE) - 1, len(WIDE)])
def test_an_answer_that_was_cut_within_a_value_is_kept_without_its_beginning(seen: int) -> None:
    own = {"Authorization": WIDE, "X-Quoted": 'with "quotes" inside'}
    assert headers.redacted(f"you sent {WIDE[:seen]}".encode(), own) == b"you sent ***"
    assert headers.redacted(b"you sent " + WIDE.removeprefix("Bearer ")[:9].encode(), own) == b"you sent ***"
    assert headers.redacted(b'{"x":"with \\"quo', own) == b'{"x":"***'
    assert headers.redacted(b"you sent Bearer ", own) == b"you sent Bearer "


def test_values_that_overlap_in_an_answer_leave_nothing_of_either() -> None:
    own = {"X-One": "first-token-abc", "X-Two": "token-abc-second-token"}
    assert headers.redacted(b"<first-token-abc-second-token>", own) == b"<***>"
    assert headers.redacted(b"<first-token-abc-second", own) == b"<***"


@given(st.text("ab -", min_size=8, max_size=30), st.text("ab -", max_size=60), st.integers(0, 100))
def test_no_beginning_of_a_value_is_left_where_an_answer_ends(value: str, around: str, cut: int) -> None:
    answer = (around + value)[:cut].encode()
    kept = headers.redacted(answer, {"X-A": value})
    assert value.encode() not in kept
    assert not any(kept.endswith(value[:n].encode()) for n in range(8, len(value) + 1))
