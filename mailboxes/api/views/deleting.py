"""`?with=mail`, which says that a mailbox or a domain may be deleted although there is mail in it."""

from http import HTTPStatus

from django.conf import settings
from drf_spectacular.utils import OpenApiParameter
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, principal
from emailgistics.common.problems import InsufficientScopeError, described
from mailboxes.api.serializers import ErasureJobSerializer
from mailboxes.models import ErasureJob

WITH, MAIL = "with", "mail"

WITH_MAIL = OpenApiParameter(
    WITH,
    str,
    enum=[MAIL],
    description="`mail`: delete it although there is mail in it, and erase that. Needs the scope emails:write beside.",
)
JOB_LOCATION = OpenApiParameter(
    "Location", str, OpenApiParameter.HEADER, response=[202], description="where the job is read"
)
ERASED = "With `with=mail` the answer is a 202, and a job erases the mail."
NOT_EMPTY = described(
    409,
    "`not_empty`: there is mail in it, which no key could read any more; see the parameter `with`. "
    "`conflict`: it is the default mailbox of its domain.",
)


def require_right_to_its_mail(request: Request) -> None:
    """Raises InsufficientScopeError. Call it before anything is looked for."""
    if MAIL in request.query_params.getlist(WITH) and not principal(request).may(Scope.EMAILS_WRITE):
        raise InsufficientScopeError([Scope.EMAILS_WRITE])


def answer_to_deleting(job: ErasureJob | None) -> Response:
    if job is None:
        return Response(status=HTTPStatus.NO_CONTENT)
    location = f"{settings.BASE_URL}/v1/jobs/{job.public_id}"
    return Response(ErasureJobSerializer(job).data, HTTPStatus.ACCEPTED, headers={"Location": location})


def is_with_mail(request: Request) -> bool:
    """Raises ValidationError for anything but `?with=mail` and nothing."""
    match request.query_params.getlist(WITH):
        case []:
            return False
        case ["mail"]:
            return True
    raise ValidationError({WITH: ErrorDetail("Say with=mail, or leave it out.", "invalid_choice")})
