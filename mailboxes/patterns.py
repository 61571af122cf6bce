"""Patterns of local parts: wildcards such as `sales-*`, and regular expressions of RE2 such as `/order-([0-9]+)/`.

RE2 needs time in proportion to text and pattern, whoever wrote them: mail cannot make a pattern slow.
"""

import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import re2

from emailgistics.common.errors import RefusedError
from mailboxes import addresses

MAX_PROGRAM_SIZE = 2_000  # instructions of RE2: \w{1,64} is 66 of them, \pL{1,64} is 20,000
MAX_MEMORY_BYTES = 256 * 1024  # of one compiled expression with all that it learns while it is used
COMPILED_KEPT = 4_096  # in a process; by their text, so that one that is changed is another one

_WILDCARDS = {"*": "(.*)", "?": "."}


class InvalidPatternError(RefusedError):
    code = "invalid_pattern"


def is_pattern(name: str) -> bool:
    """Told by its form: * alone is the catch-all, any other name with * or ? in it or between slashes is a pattern."""
    return is_expression(name) or (name != addresses.CATCH_ALL and any(character in name for character in _WILDCARDS))


def is_expression(name: str) -> bool:
    return len(name) > 1 and name.startswith("/") and name.endswith("/")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A compiled pattern; of two that are made from one text the second is the first."""

    name: str
    _expression: Any

    @classmethod
    def compile(cls, name: str) -> "Pattern":
        """Raises InvalidPatternError, with RE2's own words where it has something to say."""
        return _compiled(name)

    def captures(self, local_part: str) -> dict[str, str] | None:
        """What its groups matched, by name or number, if it fits all of the local part; None if it does not fit.

        A wildcard's groups are its asterisks. A group that took no part is not there.
        """
        key = addresses.local_key(local_part)
        found = self._expression.fullmatch(key)
        if found is None:
            return None
        # as it was written, for it may be a token in which case counts; unless folding moved its characters
        written = unicodedata.normalize("NFC", local_part)
        text = written if written.casefold() == key and len(written) == len(key) else key
        names = {number: name for name, number in self._expression.groupindex.items()}
        spans = ((number, found.span(number)) for number in range(1, self._expression.groups + 1))
        return {names.get(number, str(number)): text[start:end] for number, (start, end) in spans if start >= 0}


@lru_cache(COMPILED_KEPT)
def _compiled(name: str) -> Pattern:
    if len(name) > addresses.MAX_PATTERN_LENGTH:
        raise InvalidPatternError(f"A pattern has at most {addresses.MAX_PATTERN_LENGTH} characters.")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise InvalidPatternError("A pattern has no control characters and no broken UTF-8 in it.")
    normal = unicodedata.normalize("NFC", name)
    expression = normal[1:-1] if is_expression(normal) else _of_wildcard(normal)
    if not expression:
        raise InvalidPatternError("There is nothing between the slashes.")
    options = re2.Options()
    options.case_sensitive = False
    options.max_mem = MAX_MEMORY_BYTES
    options.log_errors = False
    try:
        compiled = re2.compile(expression, options)
    except re2.error as error:
        raise InvalidPatternError(f"{addresses.shown(name)} is not a pattern: {_words(error)}.") from error
    if compiled.programsize > MAX_PROGRAM_SIZE:
        raise InvalidPatternError(f"{addresses.shown(name)} is too large a pattern: repeat less in it.")
    return Pattern(name, compiled)


def _of_wildcard(name: str) -> str:
    return "".join(_WILDCARDS.get(character) or re2.escape(character) for character in addresses.local_key(name))


def _words(error: re2.error) -> str:
    said = error.args[0] if error.args else b"unknown"
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)
