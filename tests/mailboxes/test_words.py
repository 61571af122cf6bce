"""Words of mails and of questions: they meet however they are written."""

import pytest

from mailboxes.words import MAX_OCTETS, NoWordsError, Term, terms, words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Broken engine, BROKEN!", ["broken", "engine"]),
        ("Größe GROSSE größe ｇｒｏｓｓｅ", ["grosse"]),
        ("ada.l@example.net", ["ada", "l", "example", "net"]),
        ("snake_case v1.2", ["snake", "case", "v1", "2"]),
        ("Ángström İzmir Καφές καφεσ", ["angstrom", "izmir", "καφεσ"]),
        ("機械故障", ["機械", "械故", "故障", "障"]),
        ("機械abc", ["機械", "械", "abc"]),
        ("", []),
        ("-- \x00 \U0001f600", []),
        ("x" * 65, []),
    ],
)
def test_words_are_of_no_language_and_without_case_and_accents(text: str, found: list[str]) -> None:
    assert words(text) == found


def test_of_very_much_only_the_beginning_is_kept() -> None:
    many = words(" ".join(f"w{n}" for n in range(200_000)), "last")
    assert 10_000 < len(many) < MAX_OCTETS
    assert sum(len(word) + 1 for word in many) <= MAX_OCTETS
    assert "last" not in many


@pytest.mark.parametrize(
    ("question", "found"),
    [
        ("Broken  ENGINE broken", [Term("broken"), Term("engine")]),
        ("engin*", [Term("engin", is_prefix=True)]),
        ("ada@exam*", [Term("ada"), Term("exam", is_prefix=True)]),
        ("故障", [Term("故障")]),
        ("機", [Term("機", is_prefix=True)]),
        ("'); DROP TABLE --", [Term("drop"), Term("table")]),
    ],
)
def test_a_question_is_all_of_its_words(question: str, found: list[Term]) -> None:
    assert terms(question) == found


@pytest.mark.parametrize("question", ["", "*", "--", "ab*", " ".join(f"w{n}" for n in range(21))])
def test_a_question_that_is_none_is_told_so(question: str) -> None:
    with pytest.raises(NoWordsError):
        terms(question)
