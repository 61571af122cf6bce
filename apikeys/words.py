"""How pages, mails and commands write times and lists for people; JSON has its own way."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext


def instant(at: datetime) -> str:
    """`2030-01-31 18:00 Europe/Berlin`: in the reader's time zone, or the installation's where nobody in particular
    reads, and saying so.
    """
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M} {timezone.get_current_timezone_name()}"


def day(at: datetime) -> str:
    """`2030-01-31`, in the same."""
    return f"{timezone.localtime(at):%Y-%m-%d}"


def from_now(at: datetime, now: datetime) -> str:
    """`in 89 days`, `3 hours ago`: whole units, rounded down."""
    distance = abs(at - now)
    days, hours, minutes = (distance // timedelta(**{unit: 1}) for unit in ("days", "hours", "minutes"))
    amounts = (
        (days, ngettext("%(count)s day", "%(count)s days", days)),
        (hours, ngettext("%(count)s hour", "%(count)s hours", hours)),
        (minutes, ngettext("%(count)s minute", "%(count)s minutes", minutes)),
    )
    for count, text in amounts:
        if count:
            amount = text % {"count": count}
            return _("in %(amount)s") % {"amount": amount} if at > now else _("%(amount)s ago") % {"amount": amount}
    return _("in less than a minute") if at > now else _("a moment ago")


def listed(words: Sequence[str]) -> str:
    """`a, b and c`; of nothing, nothing."""
    return enumerated(words, _("%(list)s and %(last)s"))


def either(words: Sequence[str]) -> str:
    """`a, b or c`; of nothing, nothing."""
    return enumerated(words, _("%(list)s or %(last)s"))


def enumerated(words: Sequence[str], form: str) -> str:
    if len(words) <= 1:
        return "".join(map(str, words))
    return form % {"list": ", ".join(map(str, words[:-1])), "last": words[-1]}


def in_short(words: Sequence[str], *, named: int) -> str:
    """`a, b and 3 more`."""
    if len(words) <= named:
        return listed(words)
    return _("%(list)s and %(count)s more") % {"list": ", ".join(words[:named]), "count": len(words) - named}
