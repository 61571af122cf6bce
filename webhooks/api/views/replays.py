"""Replays over HTTP of more than one delivery: of a span of time, which is a job, and of an email."""

from http import HTTPStatus
from typing import ClassVar

from django.conf import settings
from django.db.models import QuerySet
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.resources import ID, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.api.views.deleting import JOB_LOCATION
from mailboxes.models import Email
from webhooks.api.bodies import ReplaySerializer
from webhooks.api.serializers import EmailReplaySerializer, ReplayJobSerializer
from webhooks.api.views.content import CONTENT, refuse_full_webhook
from webhooks.api.views.webhooks import WebhookViews
from webhooks.models import Webhook
from webhooks.services import replay, replay_jobs


class ReplayViewSet(WebhookViews):
    required_scopes: ClassVar = {"replay": Scope.WEBHOOKS_WRITE}
    effects: ClassVar = {"replay": Effect.WHOLE}

    @extend_schema(
        operation_id="webhooks_replay",
        summary="Send a span of time again",
        description=(
            "What had ended with `status` of the deliveries made from `since` on and before `until` goes out again, "
            "little by little; tests do not. Only mail that the key may see. The answer is a job that counts and can "
            f"be canceled. {CONTENT}"
        ),
        parameters=[ID, JOB_LOCATION],
        request=ReplaySerializer,
        responses={
            202: ReplayJobSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`conflict`: too many replays of this webhook are under way."),
        },
        examples=[
            OpenApiExample(
                "What failed in one day",
                {"since": "2026-01-30T00:00:00Z", "until": "2026-01-31T00:00:00Z", "status": "failed"},
                request_only=True,
            )
        ],
    )
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        webhook = self.found(id)
        refuse_full_webhook(webhook, self.caller)
        values = values_in_body(request, ReplaySerializer)
        job = replay_jobs.start_replay(
            webhook,
            since=values["since"],
            until=values.get("until") or timezone.now(),
            of_state=values["status"],
            rate_per_minute=values["rate_per_minute"],
            mailbox_ids=None if self.caller.all_mailboxes else self.caller.mailbox_ids,
            by=f"the key {self.caller.identifier}",
        )
        location = f"{settings.BASE_URL}/v1/jobs/{job.public_id}"
        return Response(ReplayJobSerializer(job).data, HTTPStatus.ACCEPTED, headers={"Location": location})


class EmailReplayViewSet(ResourceViewSet[Email]):
    required_scopes: ClassVar = {"replay": Scope.EMAILS_WRITE}
    effects: ClassVar = {"replay": Effect.WHOLE}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Email]:
        return Email.objects.visible_to(self.caller)

    @extend_schema(
        operation_id="emails_replay",
        summary="Send an email to its webhooks again",
        description=(
            "To every webhook that wants it now and that the key may see, also to those that were made after it came; "
            "for a key without emails:content only to those with `payload: metadata`. What is on its way already is "
            "left alone."
        ),
        parameters=[ID],
        request=None,
        responses={
            200: EmailReplaySerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`conflict`: it is not opened yet. `content_expired`: what it says is no longer kept."),
        },
    )
    def replay(self, request: Request, id: str) -> Response:  # noqa: A002
        email = self.found(id)
        webhooks = Webhook.objects.visible_to(self.caller)
        if not self.caller.may(Scope.EMAILS_CONTENT):
            webhooks = webhooks.filter(payload=Webhook.Payload.METADATA)
        values_in_body(request, NothingSerializer)
        done = replay.replay_email(email, by=f"the key {self.caller.identifier}", webhooks=webhooks)
        return Response(EmailReplaySerializer(done).data)
