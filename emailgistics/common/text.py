"""Text from strangers, before it is stored or shown."""

from emailgistics.common.errors import RefusedError


def within(text: str, *, limit: int, field: str) -> str:
    """The text, if it fits its column. Raises RefusedError that names the field; databases differ in what they do."""
    if len(text) > limit:
        raise RefusedError(f"{field} is {len(text)} characters long; it may have {limit}.", field=field)
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise RefusedError(f"{field} has a NUL character or broken UTF-8 in it; leave that out.", field=field)
    return text
