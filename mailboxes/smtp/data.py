r"""Where a mail ends, and what it says: the DATA phase of RFC 5321 without sockets.

The end is CRLF.CRLF and nothing like it: a bare LF or CR is an octet of the mail. A server that takes `\n.\n` for the
end reads the rest of a mail as commands when the host before it did not, and mail can be forged that way.
"""

TERMINATOR = b"\r\n.\r\n"


class DataScanner:
    """Takes the octets after 354 in pieces of any size.

    After `feed` has returned True, `rest` holds what came behind the terminator, and `take` gives the mail: dots
    unstuffed, the closing CRLF included, or None when it was larger than `limit` octets. Beyond the limit nothing is
    kept, but the end is looked for in the same way.
    """

    def __init__(self, *, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()  # grows in place: pieces that are joined at the end would be twice the mail
        self._size = 0
        # The octets that may turn out to begin the terminator. The mail begins at the start of a line, so it is read as
        # if a CRLF stood before it, which is then taken away again.
        self._held = b"\r\n"
        self._is_first = True
        self.rest = b""

    def take(self) -> bytearray | None:
        """The mail, given away: the scanner has nothing any more."""
        octets, self._kept = self._kept, bytearray()
        return octets if self.is_kept else None

    @property
    def size(self) -> int:
        """Octets of the mail so far, kept or not."""
        return self._size

    @property
    def is_kept(self) -> bool:
        return self._size <= self._limit

    def drop(self) -> None:
        """Nothing of it is wanted any more; only its end is."""
        self._limit = -1
        self._kept = bytearray()

    def feed(self, chunk: bytes) -> bool:
        """True when the mail has ended. Feed nothing more after that."""
        window = self._held + chunk
        end = window.find(TERMINATOR)
        if end >= 0:
            self._take(window[: end + 2])
            self.rest = window[end + len(TERMINATOR) :]
            return True
        self._held = window[len(window) - _length_of_possible_start(window) :]
        self._take(window[: len(window) - len(self._held)])
        return False

    def _take(self, octets: bytes) -> None:
        """Keeps octets that are certainly of the mail. They never end between a CRLF and the dot after it."""
        if not octets:
            return
        unstuffed = octets.replace(b"\r\n.", b"\r\n")
        if self._is_first:
            self._is_first = False
            unstuffed = unstuffed[2:]
        self._size += len(unstuffed)
        if self.is_kept:
            self._kept += unstuffed
        else:
            self._kept = bytearray()


def _length_of_possible_start(window: bytes) -> int:
    """How many octets at the end of window may be the beginning of the terminator."""
    return next((n for n in range(len(TERMINATOR) - 1, 0, -1) if window.endswith(TERMINATOR[:n])), 0)
