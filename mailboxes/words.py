"""Words, by which mail is searched: of no language, and the same however they are written.

Case, accents and width make no difference: `Größe` and `GROSSE` are one word. All but letters and digits stands between
words, so an address is several. Chinese and Japanese, which have no spaces, are cut into pairs of characters.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

MAX_WORD = 64  # longer ones are no words but encoded octets, which nobody looks for
MAX_OCTETS = 400_000  # of the words of one mail; a tsvector takes 1 MiB
MAX_TEXT = 400_000  # characters of one text that are looked at
MIN_PREFIX = 3  # shorter beginnings are those of half of all words
MAX_TERMS = 20
PREFIX_MARK = "*"

_WORD = re.compile(r"[^\W_]+")
_UNSPACED = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)")


class NoWordsError(ValueError):
    """What is wrong with a question, for people."""


@dataclass(frozen=True, slots=True)
class Term:
    """A word, or the beginning of one."""

    text: str
    is_prefix: bool = False


def words(*texts: str) -> list[str]:
    """The different words of these texts in their order, up to MAX_OCTETS."""
    found: dict[str, None] = {}
    octets = 0
    for word in _words(texts):
        if word not in found:
            octets += len(word.encode()) + 1
            if octets > MAX_OCTETS:
                break
            found[word] = None
    return list(found)


def terms(question: str) -> list[Term]:
    """What a mail must have to be found: all of these words; `engin*` stands for each that begins so.

    Raises NoWordsError.
    """
    found = [term for part in question.split() for term in _terms(part)]
    if not found:
        raise NoWordsError("There is no word in it: give letters or digits.")
    if len(found) > MAX_TERMS:
        raise NoWordsError(f"That is too much at once: give at most {MAX_TERMS} words.")
    return list(dict.fromkeys(found))


def _words(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        for run in _runs(text[:MAX_TEXT]):
            if not _UNSPACED.fullmatch(run):
                if len(run) <= MAX_WORD:
                    yield run
                continue
            yield from (run[at : at + 2] for at in range(len(run) - 1))
            yield run[-1]  # no pair begins with it, and a question may be one character


def _terms(part: str) -> Iterator[Term]:
    runs = _runs(part)
    for position, run in enumerate(runs):
        is_last = position == len(runs) - 1
        if _UNSPACED.fullmatch(run):
            pairs = [run[at : at + 2] for at in range(len(run) - 1)]
            yield from map(Term, pairs) if pairs else [Term(run, is_prefix=True)]
        elif is_last and part.endswith(PREFIX_MARK):
            if len(run) < MIN_PREFIX:
                raise NoWordsError(f"Before {PREFIX_MARK} stand at least {MIN_PREFIX} letters or digits.")
            yield Term(run[:MAX_WORD], is_prefix=True)
        else:
            yield Term(run)


def _runs(text: str) -> list[str]:
    found: list[str] = []
    for run in _WORD.findall(_plain(text)):
        found += [piece for piece in _UNSPACED.split(run) if piece]
    return found


def _plain(text: str) -> str:
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFKD", text.casefold())
    # once more: what compatibility takes apart may have had capitals in it
    bare = "".join(character for character in apart if unicodedata.category(character) != "Mn").casefold()
    return unicodedata.normalize("NFC", bare)
