"""Deliveries over HTTP: what became of each event, for who may see both its email and its webhook."""

from collections.abc import Callable
from typing import Any, ClassVar, cast

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common import footprint
from emailgistics.common.access import Principal, Scope
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.filters import Query, one_of
from emailgistics.common.pagination import PARAMETERS, Pages, RowsInOrder
from emailgistics.common.planning import only
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find
from emailgistics.common.resources import ID, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.models import Email
from webhooks.api.serializers import DeliveryDetailSerializer, DeliverySerializer
from webhooks.api.views.content import CONTENT, refuse_full_webhook
from webhooks.api.waiting import with_what_keeps_back
from webhooks.models import Attempt, Delivery, Webhook
from webhooks.services.replay import cancel_delivery, replay_delivery

STATE_FILTER = OpenApiParameter(
    "state", str, enum=Delivery.State.values, description="Only those in this state, as it is now."
)


def detail_of(delivery: Delivery, caller: Principal) -> dict[str, Any]:
    """With every attempt, as far as it is for that key."""
    rows = with_what_keeps_back(Delivery.objects.filter(pk=delivery.pk))
    row = rows.prefetch_related(_attempts_for(caller)).get()
    return dict(DeliveryDetailSerializer(row, context={"principal": caller}).data)


def _attempts_for(caller: Principal) -> "Prefetch[str, QuerySet[Attempt], str]":  # generic in the stubs alone
    attempts = Attempt.objects.order_by("n")
    if not caller.may(Scope.EMAILS_CONTENT):
        attempts = attempts.defer("response_headers", "response_excerpt")
    return Prefetch("attempt_log", attempts)


class DeliveryViewSet(ResourceViewSet[Delivery]):
    serializer_class = DeliverySerializer
    required_scopes: ClassVar = {
        "list": Scope.WEBHOOKS_READ,
        "of_email": (Scope.EMAILS_READ, Scope.WEBHOOKS_READ),
        "retrieve": Scope.WEBHOOKS_READ,
        "replay": Scope.WEBHOOKS_WRITE,
        "cancel": Scope.WEBHOOKS_WRITE,
    }
    effects: ClassVar = {"replay": Effect.SPLIT, "cancel": Effect.SPLIT}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Delivery]:
        return with_what_keeps_back(Delivery.objects.visible_to(self.caller))

    def found(self, public_id: str) -> Delivery:
        delivery = super().found(public_id)
        footprint.note_rows([delivery.webhook])  # which has the mailbox, or leads there
        return delivery

    @extend_schema(
        operation_id="webhooks_deliveries_list",
        summary="List a webhook's deliveries, newest first",
        description="Those of emails that the key may see. After an alias moved, that is not the mail from before.",
        parameters=[ID, STATE_FILTER],
        responses={200: DeliverySerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        webhook = find(Webhook.objects.visible_to(self.caller), id)
        pages, query = cast("Pages", self.paginator), Query(request, *PARAMETERS)
        pages.locate(request, Delivery)  # what a cursor names, before anything is found wrong
        rows = self.get_queryset().filter(**only("webhook", webhook))
        if state := query.read("state", one_of(*Delivery.State.values)):
            rows = rows.filter(**only("state", state))
        query.refuse_what_is_wrong()
        page = pages.cut(RowsInOrder(rows))
        return self.get_paginated_response(self._serializer(page, many=True).data)

    @extend_schema(
        operation_id="deliveries_retrieve",
        summary="Read one delivery, with every attempt",
        description=(
            "`next_attempt_at` and `reason` say when it is tried again, and why. What receivers answered may repeat "
            "what the mail says: `response` is for keys with emails:content, and null for others."
        ),
        parameters=[ID],
        responses={200: DeliveryDetailSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        delivery = find(self.get_queryset().prefetch_related(_attempts_for(self.caller)), id)
        footprint.note_rows([delivery.webhook])
        return Response(DeliveryDetailSerializer(delivery, context={"principal": self.caller}).data)

    @extend_schema(
        operation_id="emails_deliveries_list",
        summary="List an email's deliveries, newest first",
        description="To the webhooks that the key may see.",
        parameters=[ID],
        responses={200: DeliverySerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def of_email(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        email = find(Email.objects.visible_to(self.caller), id)
        return self.listed(self.get_queryset().filter(event__email=email))

    @extend_schema(
        operation_id="deliveries_replay",
        summary="Send a delivery again",
        description=(
            "One that has ended goes out again, with the same octets and the same `webhook-id`; only if what was sent "
            f"is more than the webhook may be told by now, or is gone, in the form that it gets now. {CONTENT}"
        ),
        parameters=[ID],
        request=None,
        responses={
            200: DeliveryDetailSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`conflict`: it has not ended. `content_expired`: what it told is no longer kept."),
        },
    )
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002
        delivery = self.found(id)
        refuse_full_webhook(delivery.webhook, self.caller)
        values_in_body(request, NothingSerializer)
        return self._shown_after(replay_delivery, delivery)

    @extend_schema(
        operation_id="deliveries_cancel",
        summary="Cancel a delivery",
        description=(
            "One that has not ended is not tried again. A request that is under way may still arrive; it changes "
            "nothing any more."
        ),
        parameters=[ID],
        request=None,
        responses={
            200: DeliveryDetailSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`conflict`: it has ended already."),
        },
    )
    def cancel(self, request: Request, id: str) -> Response:  # noqa: A002
        delivery = self.found(id)
        values_in_body(request, NothingSerializer)
        return self._shown_after(cancel_delivery, delivery)

    def _shown_after(self, change: Callable[..., None], delivery: Delivery) -> Response:
        def act() -> str:
            change(delivery, by=f"the key {self.caller.identifier}")
            return delivery.public_id

        # what receivers answered may repeat what a mail says: that is kept nowhere else
        return self.made_once(act, lambda _: Response(detail_of(delivery, self.caller)))
