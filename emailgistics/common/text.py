"""Text from strangers, before it is stored or shown."""

from emailgistics.common.errors import RefusedError, TooLongError


def within(text: str, *, limit: int, field: str) -> str:
    """The text, if it fits its column. Raises RefusedError that names the field; databases differ in what they do."""
    if len(text) > limit:
        raise TooLongError(f"{field} is {len(text)} characters long; it may have {limit}.", field=field)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RefusedError(f"{field} has a NUL character or broken UTF-8 in it; leave that out.", field=field)
    return text


def printable(text: str | bytes | memoryview) -> str:
    """What strangers sent, as text that can only be looked at.

    Controls are written out, also those that turn text round.
    """
    if not isinstance(text, str):
        text = bytes(text).decode("utf-8", "backslashreplace")
    lines = text.replace("\r\n", "\n")
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in lines)
