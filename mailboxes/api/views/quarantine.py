"""Letting mail go that a rule keeps back."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, principal
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find
from emailgistics.common.views import Effect
from mailboxes.api.serializers import EmailDetailSerializer
from mailboxes.api.views.emails import QUARANTINE, EmailViews
from mailboxes.models import Email
from mailboxes.services import quarantine

NOT_QUARANTINED = described(
    409, "`not_quarantined`: no rule keeps this email back, or it is still to be opened; see its `status`."
)


class QuarantineViewSet(EmailViews):
    required_scopes: ClassVar = {"release": Scope.EMAILS_WRITE}
    effects: ClassVar = {"release": Effect.SPLIT}

    def get_queryset(self) -> QuerySet[Email]:
        return super().get_queryset().select_related("message", "content", *QUARANTINE)

    @extend_schema(
        operation_id="emails_release",
        summary="Release an email from quarantine",
        description=(
            "Its status becomes `processed`, and webhooks are told of it as of any mail. Once: who asks again gets the "
            "email as it is, and no webhook hears of it twice."
        ),
        parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH)],
        request=None,
        responses={
            200: EmailDetailSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **NOT_QUARANTINED,
        },
    )
    def release(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        caller = principal(request)
        email = find(self.get_queryset(), id)
        values_in_body(request, NothingSerializer)
        return self.made_once(lambda: quarantine.release_email(email, by=caller.identifier).public_id, self._shown)

    def _shown(self, public_id: str) -> Response:
        email = find(self.get_queryset(), public_id)
        return Response(EmailDetailSerializer(email, context={"principal": principal(self.request)}).data)
