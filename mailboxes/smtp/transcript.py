"""What was said on a connection, for who asks later why a mail came, or did not. Never of DATA, never of AUTH."""

import time
from collections.abc import Iterable

from mailboxes.services.receive import Line

OPENING_LINES = 40  # until the first MAIL
TRANSACTION_LINES = 260  # of one transaction: a hundred recipients with their replies, and a few more
MAX_TEXT = 500
HIDDEN = b"(not kept)"

Said = tuple[float, str, bytes | str]


class Transcript:
    """Keeps the opening of a connection and its last transaction; what is asked for rarely is made when it is."""

    def __init__(self) -> None:
        self._began_at = time.monotonic()
        self._opening: list[Said] = []
        self._transaction: list[Said] = []
        self._current, self._room = self._opening, OPENING_LINES
        self._may_hold_secrets = False

    def begin_transaction(self) -> None:
        self._transaction = []
        self._current, self._room = self._transaction, TRANSACTION_LINES

    def client(self, line: bytes, *, is_command: bool = True) -> None:
        """Only the word of AUTH is kept, and nothing after it that is no command: its arguments may come alone."""
        if not is_command or line[:4].upper() == b"AUTH":
            if b"AUTH" in line.upper():
                self._may_hold_secrets = True
                line = b"AUTH " + HIDDEN
            elif self._may_hold_secrets:
                line = HIDDEN
        self._keep("C", line)

    def server(self, reply: str) -> None:
        self._keep("S", reply)

    def lines(self) -> list[Line]:
        return [
            (round((at - self._began_at) * 1000), who, text)
            for at, who, said in (*self._opening, *self._transaction)
            for text in _texts(said)
        ]

    def _keep(self, who: str, said: bytes | str) -> None:
        if len(self._current) < self._room:
            self._current.append((time.monotonic(), who, said[:MAX_TEXT] if isinstance(said, bytes) else said))
        elif len(self._current) == self._room:
            self._current.append((time.monotonic(), who, "(and so on)"))


def _texts(said: bytes | str) -> Iterable[str]:
    if isinstance(said, str):
        return said.split("\r\n")
    return [printable(said.decode(errors="surrogateescape"))[:MAX_TEXT]]


def printable(text: str) -> str:
    """Controls, and octets that were no UTF-8, as escapes."""
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    octets = character.encode("utf-8", errors="surrogateescape")
    return "".join(f"\\x{octet:02x}" for octet in octets)
