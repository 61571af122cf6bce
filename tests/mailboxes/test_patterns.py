import time

import pytest

from mailboxes.patterns import COMPILED_KEPT, InvalidPatternError, Pattern, _compiled, is_pattern


def captures(name: str, local_part: str) -> dict[str, str] | None:
    return Pattern.compile(name).captures(local_part)


@pytest.mark.parametrize(
    "name, local_part, expected",
    [
        ("sales-*", "sales-eu", {"1": "eu"}),
        ("sales-*", "SALES-Eu", {"1": "Eu"}),
        ("sales-*", "sales-", {"1": ""}),
        ("sales-*", "my-sales-eu", None),
        ("*-sales-*", "eu-sales-x", {"1": "eu", "2": "x"}),
        ("ticket-???", "ticket-042", {}),
        ("ticket-???", "ticket-42", None),
        ("a.b*", "axbc", None),  # what is special to RE2 stands for itself
        ("straße-*", "STRASSE-7", {"1": "7"}),
        ("é*", "E\u0301x", {"1": "x"}),  # composed or not
        ("/order-([0-9]+)/", "Order-17", {"1": "17"}),
        ("/order-([0-9]+)/", "order-17x", None),  # all of it
        ("/(?P<team>[a-z]+)-(?P<n>\\d+)(x)?/", "Ops-7", {"team": "Ops", "n": "7"}),  # a group without a part is none
        ("/(?P<team>\\w+)\\.(\\w+)/", "ops.7", {"team": "ops", "2": "7"}),
        ("/^a$/", "a", {}),
    ],
)
def test_what_fits_and_what_it_captures(name: str, local_part: str, expected: dict[str, str] | None) -> None:
    assert captures(name, local_part) == expected


def test_captures_are_as_they_were_written_unless_folding_moves_characters() -> None:
    assert captures("*-x", "ToKeN-x") == {"1": "ToKeN"}
    assert captures("*-x", "ẞToKeN-x") == {"1": "sstoken"}  # two characters for one: where they were is unknown


@pytest.mark.parametrize("name", ["a*", "?", "**", "a?b", "/a/", "/a*/", "//"])
def test_what_is_a_pattern(name: str) -> None:
    assert is_pattern(name)


@pytest.mark.parametrize("name", ["*", "help", "help+x", "/", "/a", "a/", "a/b"])
def test_what_is_none(name: str) -> None:
    assert not is_pattern(name)


@pytest.mark.parametrize(
    "name, words",
    [
        ("/(/", "“/(/” is not a pattern: missing ): (."),
        ("/(?=a)b/", "“/(?=a)b/” is not a pattern: invalid perl operator: (?=."),
        (r"/(a)\1/", r"“/(a)\1/” is not a pattern: invalid escape sequence: \1."),
        ("/a{2000}/", "“/a{2000}/” is not a pattern: invalid repetition size: {2000}."),
        (r"/\pL{1,64}/", r"“/\pL{1,64}/” is not a pattern: pattern too large - compile failed."),
        ("*" * 256, f"“{'*' * 80}…” is too large a pattern: repeat less in it."),
        ("x*" * 129, "A pattern has at most 256 characters."),
        ("//", "There is nothing between the slashes."),
        ("a*\n", "A pattern has no control characters and no broken UTF-8 in it."),
        ("a*\udcff", "A pattern has no control characters and no broken UTF-8 in it."),
    ],
)
def test_what_cannot_be_compiled_is_refused_in_the_words_of_re2(name: str, words: str) -> None:
    with pytest.raises(InvalidPatternError) as caught:
        Pattern.compile(name)
    assert str(caught.value) == words


def test_no_local_part_makes_a_pattern_slow() -> None:
    for name in ("*a*a*a*a*a*a*a*a*a*a*a*b", "/(a*)*(a*)*(a|a|aa)*b/"):
        began = time.perf_counter()
        assert captures(name, "a" * 64) is None
        assert time.perf_counter() - began < 0.5  # a backtracking matcher needs years


def test_what_is_kept_compiled_is_bounded() -> None:
    for number in range(COMPILED_KEPT + 10):
        Pattern.compile(f"bounded-{number}-*")
    assert _compiled.cache_info().currsize == COMPILED_KEPT
