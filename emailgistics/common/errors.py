"""What can go wrong, by kind. Apps name the case; edges (HTTP, SMTP, shell) translate the kind.

`code` is a stable string for programs. The message is for people: it names the field and the remedy and holds
nothing that the caller may not see, so that every edge can show it as it is.
"""

from typing import ClassVar


class DomainError(Exception):
    code: ClassVar[str] = "error"
    explanation: tuple[str, ...] = ()  # the decisions that led to it, where somebody may ask for them

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class NotFoundError(DomainError):
    """There is no such thing, or none that the caller may know of."""

    code = "not_found"


class GoneError(DomainError):
    """There was such a thing, and the caller may know that; it is not kept any longer."""

    code = "gone"


class ConflictError(DomainError):
    """It contradicts something that exists."""

    code = "conflict"


class PreconditionFailedError(DomainError):
    """It is not as the caller says it has to be."""

    code = "precondition_failed"


class RefusedError(DomainError):
    """The input breaks a rule; the same input will never do."""

    code = "validation_error"


class TooLongError(RefusedError):
    code = "max_length"


class OutOfRangeError(RefusedError):
    code = "out_of_range"


class InvalidChoiceError(RefusedError):
    code = "invalid_choice"


class LimitReachedError(DomainError):
    """Too much or too often; later, or smaller, may do."""

    code = "limit_reached"


class UnavailableError(DomainError):
    """A fault of ours; the same input may do in a moment."""

    code = "unavailable"
