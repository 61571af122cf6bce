"""An event to build a flow against, before any mail came."""

from typing import ClassVar

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from emailgistics.common.access import Scope
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST
from emailgistics.common.views import StrictQuery
from webhooks.samples import EMAIL_RECEIVED, EVENTS

NO_EVENT = f"There is no event of this type; there is {', '.join(EVENTS)}."


class SampleViewSet(StrictQuery, ViewSet):
    required_scopes: ClassVar = {"retrieve": Scope.WEBHOOKS_READ}

    @extend_schema(
        operation_id="webhooks_sample",
        summary="Show a sample event",
        description="The body that a webhook gets, of a mail that never was. Its links open nothing.",
        parameters=[
            OpenApiParameter("event", str, enum=[*EVENTS], default="email.received", description="The type of event.")
        ],
        responses={200: OpenApiTypes.OBJECT, **BAD_REQUEST, **ACCESS_PROBLEMS},
        examples=[OpenApiExample("email.received", EMAIL_RECEIVED, response_only=True)],
    )
    def retrieve(self, request: Request) -> Response:
        asked = request.query_params.get("event", "email.received")
        if asked not in EVENTS:
            raise ValidationError({"event": ErrorDetail(NO_EVENT, "invalid_choice")})
        return Response(EVENTS[asked], headers={"Cache-Control": "private, no-cache"})
