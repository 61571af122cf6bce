"""Trying a webhook out over HTTP: a test, and why a request that was received does not verify."""

import threading
import time
from datetime import timedelta
from http import HTTPStatus
from typing import Any, ClassVar

from django.db.models import Q
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.ids import decode_id
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find
from emailgistics.common.resources import ID
from emailgistics.common.views import Effect
from webhooks import diagnosis
from webhooks.api.bodies import CheckSerializer
from webhooks.api.serializers import DeliveryDetailSerializer, DiagnosisSerializer
from webhooks.api.views.deliveries import detail_of
from webhooks.api.views.webhooks import SECRET_PROBLEM, WebhookViews
from webhooks.models import Delivery, Event, EventBody, Webhook
from webhooks.services import testing
from webhooks.services.webhooks import secrets_now

WAIT_AT_MOST = timedelta(seconds=5)
MAX_WAITING = 2  # requests of this process at a time: each that waits keeps a thread of the server
waiting = threading.BoundedSemaphore(MAX_WAITING)


class TrialViewSet(WebhookViews):
    required_scopes: ClassVar = {"test": Scope.WEBHOOKS_WRITE, "check_signature": Scope.WEBHOOKS_WRITE}
    effects: ClassVar = {"test": Effect.SPLIT, "check_signature": Effect.NONE}

    @extend_schema(
        operation_id="webhooks_test",
        summary="Send a test",
        description=(
            "A `webhook.test` goes the way of every other event, once, also while the webhook is paused. The answer "
            f"waits for it up to {WAIT_AT_MOST.seconds} s: 200 with what came of it, or 202 while it is on its way; "
            "read the delivery later then. It is a 202 at once while all outgoing webhooks are stopped, where there is "
            "no `url`, or if several tests are waited for already. One at a time for each webhook."
        ),
        parameters=[ID],
        request=None,
        responses={
            200: DeliveryDetailSerializer,
            202: DeliveryDetailSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`test_under_way`: the test before has not ended. Wait for it, or cancel that delivery."),
        },
    )
    def test(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        webhook = self.found(id)
        values_in_body(request, NothingSerializer)
        return self.made_once(
            lambda: testing.send_test(webhook, by=f"the key {self.caller.identifier}").public_id, self._outcome
        )

    def _outcome(self, public_id: str) -> Response:
        """What has become of a test; waits for its end."""
        delivery = find(Delivery.objects.visible_to(self.caller), public_id)
        if waiting.acquire(blocking=False):
            try:
                delivery = testing.wait_for_end(delivery, at_most=WAIT_AT_MOST)
            finally:
                waiting.release()
        is_open = delivery.state in (Delivery.State.PENDING, Delivery.State.HELD)
        return Response(detail_of(delivery, self.caller), HTTPStatus.ACCEPTED if is_open else HTTPStatus.OK)

    @extend_schema(
        operation_id="webhooks_check_signature",
        summary="Learn why a request does not verify",
        description=(
            "Paste the headers and the body of a request as your receiver got them. The answer says what is wrong "
            "with it, and what to do; no secret and no signature is in it, and nothing of it is kept. A request has at "
            "most 1 MiB here: for a larger body send the headers alone, and they are looked at with the body that was "
            "sent under their `webhook-id`. What was sent of a mail is compared only for keys with emails:content, or "
            "if it was metadata."
        ),
        parameters=[ID],
        request=CheckSerializer,
        responses={
            200: DiagnosisSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **SECRET_PROBLEM,
        },
        examples=[
            OpenApiExample(
                "As a framework shows them",
                {
                    "headers": {
                        "webhook-id": "evt_01jd2x8kt6n5r7m3f0b9q4y1hs",
                        "webhook-timestamp": "1893456000",
                        "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
                    },
                    "body": '{"type":"email.received","timestamp":"2030-01-01T00:00:00.000Z","data":{}}',
                },
                request_only=True,
            )
        ],
    )
    def check_signature(self, request: Request, id: str) -> Response:  # noqa: A002
        webhook = self.found(id)
        values = values_in_body(request, CheckSerializer)
        found = diagnosis.explain(
            values["headers"],
            values.get("body"),
            secrets_now(webhook),
            now=int(time.time()),
            sent=self._sent(webhook, values["headers"]),
        )
        return Response(DiagnosisSerializer(found).data)

    def _sent(self, webhook: Webhook, headers: Any) -> bytes | None:
        """What was sent to it under the webhook-id among these headers, as far as the key may see that."""
        event = decode_id(Event.ID_PREFIX, diagnosis.event_id_of(headers))
        if event is None:
            return None
        rows = Delivery.objects.visible_to(self.caller).filter(webhook=webhook, event=event)
        if not self.caller.may(Scope.EMAILS_CONTENT):
            # how long it is, and how another one differs, tells what the mail says to who asks often enough
            rows = rows.filter(Q(event__email=None) | Q(body__form=EventBody.Form.METADATA))
        body = rows.values_list("body__body", flat=True).first()
        return None if body is None else bytes(body)
