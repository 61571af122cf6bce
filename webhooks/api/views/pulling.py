"""Deliveries over HTTP by pulling, for receivers that nothing can be sent to."""

from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.bodies import values_in_body
from emailgistics.common.ids import decode_id
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM
from emailgistics.common.requests import NOBODY
from emailgistics.common.resources import ID
from emailgistics.common.views import Effect
from webhooks.api.bodies import AcknowledgementSerializer
from webhooks.api.serializers import AcknowledgedSerializer, PulledListSerializer
from webhooks.api.views.webhooks import SECRET_PROBLEM, WebhookViews
from webhooks.models import Delivery
from webhooks.services import pull

DEFAULT_LIMIT = 25
MAX_POSITION = 2**53 - 1  # what JSON numbers hold exactly everywhere


class PullViewSet(WebhookViews):
    required_scopes: ClassVar = {
        "pull": (Scope.EMAILS_CONTENT, Scope.WEBHOOKS_READ),
        "ack": (Scope.EMAILS_CONTENT, Scope.WEBHOOKS_WRITE),
    }
    effects: ClassVar = {"ack": Effect.WHOLE}

    @extend_schema(
        operation_id="webhooks_pull",
        summary="Pull what waits for a webhook",
        description=(
            "The deliveries that have not ended, signed as they would be sent; fewer than `limit` if they are large: "
            f"together at most {pull.MAX_PULLED_BYTES // 2**20} MiB of bodies, unless the first alone is more. Go on "
            "with `after`, the last `position` that you saw, while an answer is not empty: a mail that is stored later "
            "has a later one. Pulling takes nothing away: acknowledge what has arrived, or begin again without `after` "
            "to see it once more. Of a webhook that has a `url`, the same event may come both ways; `event_id` tells. "
            "Works while it is paused. What is pulled is mail, so a webhook with `payload: metadata` takes the same "
            "scopes."
        ),
        parameters=[
            ID,
            OpenApiParameter("after", int, description="Only positions beyond this one; 0, unless said."),
            OpenApiParameter("limit", int, description=f"At most so many, up to {pull.MAX_PULLED}."),
        ],
        responses={
            200: PulledListSerializer,
            **BAD_REQUEST,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **SECRET_PROBLEM,
        },
        filters=False,
    )
    def pull(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        webhook = self.found(id)
        found = pull.pull(
            webhook,
            after=_whole(request, "after", default=0, at_least=0, at_most=MAX_POSITION),
            limit=_whole(request, "limit", default=DEFAULT_LIMIT, at_least=1, at_most=pull.MAX_PULLED),
            mailbox_ids=None if self.caller.all_mailboxes else self.caller.mailbox_ids,
        )
        return Response(PulledListSerializer({"data": found}).data)

    @extend_schema(
        operation_id="webhooks_ack",
        summary="Acknowledge what was pulled",
        description=(
            "These deliveries have arrived. Once more changes nothing; if one of them is none of this webhook's, "
            "nothing is acknowledged."
        ),
        parameters=[ID],
        request=AcknowledgementSerializer,
        responses={200: AcknowledgedSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[OpenApiExample("One", {"ids": ["dlv_01jd2x8kv2t8c5w6g4p1z9r0ma"]}, request_only=True)],
    )
    def ack(self, request: Request, id: str) -> Response:  # noqa: A002
        webhook = self.found(id)
        named = values_in_body(request, AcknowledgementSerializer)["ids"]
        count = pull.acknowledge(
            webhook,
            # one that is none at all is asked for like any other, so that not even the queries tell them apart
            [decode_id(Delivery.ID_PREFIX, text) or NOBODY for text in named],
            by=f"the key {self.caller.identifier}",
            mailbox_ids=None if self.caller.all_mailboxes else self.caller.mailbox_ids,
        )
        return Response({"acknowledged": count})


def _whole(request: Request, name: str, *, default: int, at_least: int, at_most: int) -> int:
    """A number in the query. Raises ValidationError."""
    text = request.query_params.get(name)
    if text is None:
        return default
    is_number = text.isascii() and text.isdigit() and len(text) <= len(str(at_most))
    if not is_number or not at_least <= int(text) <= at_most:
        raise ValidationError(
            {name: ErrorDetail(f"This is a whole number from {at_least} to {at_most}.", "out_of_range")}
        )
    return int(text)
