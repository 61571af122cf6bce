"""Address fields (RFC 5322 section 3.4), as tolerantly as people write them.

Own code rather than `email.utils.getaddresses`, which recurses on nested brackets and knows no limit. Structure is read
before encoded words are decoded, so that none can smuggle in an address or a comma.
"""

import re
from collections.abc import Iterator

from mailboxes.mime.budget import MAX_NAME_CHARACTERS, Budget, Defect
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.parsed import NameAddress
from mailboxes.mime.words import decode_words

_TOKEN = re.compile(
    r"=\?[^?\s\"<>]{1,120}\?[bBqQ]\?[^?\s\"<>]*+\?="  # whole: some senders leave commas and brackets bare in it
    r"|\\.|[\"(),:;<>@=\\]|[^\"(),:;<>@=\\]++",
    re.DOTALL,
)
_SEPARATORS = re.compile(r"[\s\"<>(),;:\\]++")
_QUOTED_BLANK = "\0"  # a blank that separates nothing; no other NUL is left in the text


def read_addresses(value: str, budget: Budget) -> tuple[NameAddress, ...]:
    """The addresses of an unfolded field, members of groups among them, until the budget of addresses is spent."""
    found: list[NameAddress] = []
    for person in _Reader(budget).read(value.replace("\0", "")):
        if budget.addresses == 0:
            budget.note(Defect.TOO_MANY_ADDRESSES)
            break
        budget.addresses -= 1
        found.append(person)
    return tuple(found)


class _Reader:
    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._start()

    def _start(self) -> None:
        self._shown: list[str] = []  # the name: without quotes and escapes
        self._written: list[str] = []  # the same as it is written, in case it is an address
        self._angle: list[str] | None = None  # what is in <>
        self._comments: list[str] = []
        self._comment_depth = 0
        self._is_quoted = self._is_angle_open = self._has_at = False

    def read(self, value: str) -> Iterator[NameAddress]:
        for match in _TOKEN.finditer(value):
            if self._take(match[0]):
                if person := self._person():
                    yield person
                self._start()
                if match[0] == "<":
                    self._take("<")
        if person := self._person():
            yield person

    def _take(self, symbol: str) -> bool:
        """True when an address ends before this symbol."""
        if self._comment_depth:
            self._comment(symbol)
        elif symbol == '"' or self._is_quoted:
            self._quoted(symbol)
        elif symbol == "(":
            self._comment_depth = 1
        elif self._is_angle_open:
            return self._in_angle(symbol)
        elif symbol == "<":
            if self._angle is not None:
                return True  # <a@example.com> <b@example.com>
            self._angle, self._is_angle_open = [], True
        elif symbol in (",", ";"):
            return True
        elif symbol == ":" and not self._has_at:
            self._start()  # what was before it names a group
        elif symbol != ">":
            self._has_at |= symbol == "@"
            self._add(symbol, shown=symbol)
        return False

    def _comment(self, symbol: str) -> None:
        self._comment_depth += (symbol == "(") - (symbol == ")")
        self._comments.append(_unescaped(symbol) if self._comment_depth else " ")

    def _quoted(self, symbol: str) -> None:
        self._is_quoted ^= symbol == '"'
        self._add(symbol.replace(" ", _QUOTED_BLANK), shown="" if symbol == '"' else _unescaped(symbol))

    def _in_angle(self, symbol: str) -> bool:
        is_route = self._angle is not None and "".join(self._angle[:1]).startswith("@")
        if symbol == ">":
            self._is_angle_open = False
        elif symbol == "," and not is_route:
            return True  # its > is missing
        else:
            self._add(symbol, shown="")
        return False

    def _add(self, symbol: str, *, shown: str) -> None:
        if self._is_angle_open and self._angle is not None:
            self._angle.append(symbol)
        else:
            self._written.append(symbol)
            self._shown.append(shown)

    def _person(self) -> NameAddress | None:
        name, address = "".join(self._shown), ""
        if self._angle is not None:
            address = "".join("".join(self._angle).split())
        elif self._has_at:
            name, address = _split_bare("".join(self._written))
        elif "@" in name:
            name, address = _salvage(name)
        address = clean_line(_without_route(address).replace(_QUOTED_BLANK, " "))
        name = self._clean(name) or self._clean("".join(self._comments))
        if not (name or address):
            return None
        local_part, _, domain = address.rpartition("@")
        if not (local_part and domain) or max(len(name), len(address)) > MAX_NAME_CHARACTERS:
            self._budget.note(Defect.BAD_ADDRESS)
        return NameAddress(name=name[:MAX_NAME_CHARACTERS], address=address[:MAX_NAME_CHARACTERS])

    def _clean(self, name: str) -> str:
        return clean_line(decode_words(name.replace(_QUOTED_BLANK, " ").strip(), self._budget))


def _split_bare(written: str) -> tuple[str, str]:
    """`Ada ada@example.com` -> ("Ada", "ada@example.com"); blanks around the @ are allowed (section 4.4)."""
    words = "@".join(side.strip() for side in written.split("@")).split()
    at = next(index for index, word in enumerate(words) if "@" in word)
    return " ".join(words[:at] + words[at + 1 :]).replace('"', ""), words[at]


def _salvage(text: str) -> tuple[str, str]:
    """What can be an address in a text whose quotes went wrong."""
    words = _SEPARATORS.split(text)
    at = next(index for index, word in enumerate(words) if "@" in word)
    return " ".join(words[:at]), words[at]


def _without_route(address: str) -> str:
    """`@a.example,@b.example:c@example.com` (section 4.4) and `mailto:c@example.com` -> `c@example.com`."""
    if address.startswith("@") and ":" in address:
        return address.rpartition(":")[2]
    return address[len("mailto:") :] if address[:7].lower() == "mailto:" else address


def _unescaped(symbol: str) -> str:
    return symbol[1:] if symbol.startswith("\\") and len(symbol) > 1 else symbol
