"""Where mail would go, over HTTP: for keys that may see all of it."""

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, principal, require_all_mailboxes
from emailgistics.common.bodies import values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS
from emailgistics.common.views import ApiViewSet, Effect
from mailboxes.api.bodies import QuestionSerializer
from mailboxes.api.serializers import OutlookSerializer
from mailboxes.models import Alias
from mailboxes.services.explain import explain


class RoutingViewSet(ApiViewSet[Alias]):
    serializer_class = OutlookSerializer
    pagination_class = None
    required_scopes: ClassVar = {"explain": Scope.ALIASES_READ}
    effects: ClassVar = {"explain": Effect.NONE}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    @extend_schema(
        operation_id="routing_explain",
        summary="Where mail to an address would go, and why",
        description=(
            "The decisions that a real mail would meet, with the answer that its host would get; nothing is sent or "
            "stored. A refusal is an answer as well: `accepted` is false, and the last line of `explanation` ended the "
            "search. Needs a key for all mailboxes."
        ),
        request=QuestionSerializer,
        responses={200: OutlookSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS},
        examples=[
            OpenApiExample("Any mail to an address", {"address": "order-17@example.com"}, request_only=True),
            OpenApiExample(
                "A certain one",
                {
                    "address": "help+order-7@example.com",
                    "mail_from": "ada@example.net",
                    "client_ip": "192.0.2.1",
                    "size": 48213,
                },
                request_only=True,
            ),
        ],
    )
    def explain(self, request: Request) -> Response:
        require_all_mailboxes(principal(request))
        values = values_in_body(request, QuestionSerializer)
        return Response(OutlookSerializer(explain(**values)).data)
