"""`?with=mail`, which says that a mailbox or a domain may be deleted although there is mail in it."""

from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from emailgistics.common.access import Scope, principal
from emailgistics.common.problems import InsufficientScopeError, described

WITH, MAIL = "with", "mail"

WITH_MAIL = OpenApiParameter(
    WITH,
    str,
    enum=[MAIL],
    description="`mail`: delete it although there is mail in it. Needs the scope emails:write beside.",
)
NOT_EMPTY = described(
    409,
    "`not_empty`: there is mail in it, which no key could read any more; see the parameter `with`. "
    "`conflict`: it is the default mailbox of its domain.",
)


def require_right_to_its_mail(request: Request) -> None:
    """Raises InsufficientScopeError. Call it before anything is looked for."""
    if MAIL in request.query_params.getlist(WITH) and not principal(request).may(Scope.EMAILS_WRITE):
        raise InsufficientScopeError([Scope.EMAILS_WRITE])


def is_with_mail(request: Request) -> bool:
    """Raises ValidationError for anything but `?with=mail` and nothing."""
    match request.query_params.getlist(WITH):
        case []:
            return False
        case ["mail"]:
            return True
    raise ValidationError({WITH: "This is mail, once, or is left out."})
