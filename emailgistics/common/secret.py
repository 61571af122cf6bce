"""Secrets on their way to the one page that shows them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """For contexts of templates: `{{ value }}` prints the text, and nothing else does.

    Django logs whole contexts, as their repr, at DEBUG: whenever a template asks for a name that is not there.
    """

    text: str = field(repr=False)

    def __str__(self) -> str:
        return self.text
