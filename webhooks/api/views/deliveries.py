"""Deliveries over HTTP: what became of each event, for who may see both its email and its webhook."""

from typing import ClassVar

from django.db.models import Prefetch, QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, NOT_FOUND_PROBLEM
from emailgistics.common.requests import find
from emailgistics.common.resources import ID, ResourceViewSet
from webhooks.api.serializers import DeliveryDetailSerializer, DeliverySerializer
from webhooks.models import Attempt, Delivery, Webhook

STATE_FILTER = OpenApiParameter(
    "state", str, enum=Delivery.State.values, description="Only those in this state, as it is now."
)


class DeliveryViewSet(ResourceViewSet[Delivery]):
    serializer_class = DeliverySerializer
    required_scopes: ClassVar = {"list": Scope.WEBHOOKS_READ, "retrieve": Scope.WEBHOOKS_READ}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Delivery]:
        return Delivery.objects.visible_to(self.caller).select_related("event")

    @extend_schema(
        operation_id="webhooks_deliveries_list",
        summary="List a webhook's deliveries, newest first",
        description="Those of emails that the key may see. After an alias moved, that is not the mail from before.",
        parameters=[ID, STATE_FILTER],
        responses={200: DeliverySerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        webhook = find(Webhook.objects.visible_to(self.caller), id)
        rows, state = self.get_queryset().filter(webhook=webhook), request.query_params.get("state")
        if state in Delivery.State.values:
            rows = rows.filter(state=state)
        answer = self.listed(rows)  # what a cursor names is looked for before anything is found wrong
        if state is not None and state not in Delivery.State.values:
            raise ValidationError({"state": f"This is one of {', '.join(Delivery.State.values)}."})
        return answer

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
        attempts = Attempt.objects.order_by("n")
        if not self.caller.may(Scope.EMAILS_CONTENT):
            attempts = attempts.defer("response_headers", "response_excerpt")
        delivery = find(self.get_queryset().prefetch_related(Prefetch("attempt_log", attempts)), id)
        return Response(DeliveryDetailSerializer(delivery, context={"principal": self.caller}).data)
