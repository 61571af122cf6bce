"""Webhooks over HTTP. A key sees those of its mailboxes and aliases; all others do not exist for it."""

from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.models import ApiKey
from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import BodySerializer, NothingSerializer, body_of, values_in_body
from emailgistics.common.errors import ConflictError
from emailgistics.common.idempotency import is_secret
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find_in_query
from emailgistics.common.resources import ID, LOCATION, PRIVATE, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.models import Alias, Domain, Mailbox
from webhooks import guard
from webhooks.api.bodies import (
    NewWebhookSerializer,
    RotationSerializer,
    WebhookChangesSerializer,
    WholeWebhookSerializer,
)
from webhooks.api.serializers import ChangedWebhookSerializer, WebhookSerializer, WebhookWithSecretSerializer
from webhooks.api.views.content import (
    CONTENT,
    default_payload,
    is_aimed_anew,
    refuse_full_payload,
    refuse_full_webhook,
)
from webhooks.headers import MASK
from webhooks.models import Delivery, Webhook, WebhookQuerySet
from webhooks.services import webhooks

AIMING = (
    "For another `url`, other `headers`, or `email.received` or `email.reparsed` among `events` where it was not: "
    f"{CONTENT}"
)
ELSEWHERE = (
    "Another scheme, host or port of `url` is another receiver: values that were kept are dropped, the secret is "
    "renewed at once, and the answer holds the new one, this once."
)
HEADERS = (
    f"In place of the values of `headers`, which nobody reads again, stands `{MASK}`; sent back, it keeps the value."
)
IN_FLIGHT = OpenApiParameter(
    "Attempts-In-Flight", int, OpenApiParameter.HEADER, response=[204], description="requests under way"
)

SECRET_PROBLEM = described(503, "`unavailable`: the webhook's secret does not open; an operator has to look at it.")


def filter_by(name: str, what: str) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=f"Only those {what}.")


class WebhookViews(ResourceViewSet[Webhook]):
    """What all views of webhooks share: those that the key may see, and that nobody keeps a copy on the way."""

    serializer_class = WebhookSerializer

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}  # secrets are among the answers

    def get_queryset(self) -> WebhookQuerySet:
        return Webhook.objects.visible_to(self.caller).select_related("alias")

    def secret_again(self, public_id: str, digest: str) -> str:
        """Raises NotFoundError, ConflictError, UnavailableError."""
        for secret in webhooks.secrets_now(self.found(public_id)):
            if is_secret(secret, digest=digest):
                return secret
        raise ConflictError("The secret that was shown then has been replaced since. Rotate it to get a new one.")


class WebhookViewSet(WebhookViews):
    is_conditional = True
    changes_by_itself = WebhookChangesSerializer.IGNORED
    list_filters: ClassVar = ("alias_id", "mailbox_id", "domain_id", "url")
    required_scopes: ClassVar = {
        "list": Scope.WEBHOOKS_READ,
        "retrieve": Scope.WEBHOOKS_READ,
        "create": Scope.WEBHOOKS_WRITE,
        "update": Scope.WEBHOOKS_WRITE,
        "partial_update": Scope.WEBHOOKS_WRITE,
        "destroy": Scope.WEBHOOKS_WRITE,
        "pause": Scope.WEBHOOKS_WRITE,
        "resume": Scope.WEBHOOKS_WRITE,
        "rotate_secret": Scope.WEBHOOKS_WRITE,
    }
    effects: ClassVar = {
        # the name in a URL is looked up first
        "create": Effect.SPLIT,
        "partial_update": Effect.SPLIT,
        **dict.fromkeys(("pause", "resume", "rotate_secret"), Effect.WHOLE),
    }

    @property
    def default_response_headers(self) -> dict[str, str]:
        has_secrets = self.action not in ("list", "retrieve")
        return super().default_response_headers | ({} if has_secrets else {"Cache-Control": PRIVATE})

    def get_queryset(self) -> WebhookQuerySet:
        under_way = Delivery.objects.filter(webhook=OuterRef("pk"), lease_id__isnull=False).order_by()
        counted = under_way.values("webhook").annotate(n=Count("pk")).values("n")
        rows = super().get_queryset().select_related("health")
        return rows.annotate(attempts_in_flight=Coalesce(Subquery(counted), 0))

    @extend_schema(
        summary="List webhooks, newest first",
        description="Those of the aliases and mailboxes that the key may open; those of a domain, for all mailboxes.",
        parameters=[
            filter_by("url", "with this URL; the case of its host and a usual port do not count"),
            filter_by("alias_id", "bound to this alias"),
            filter_by("mailbox_id", "bound to this mailbox"),
            filter_by("domain_id", "bound to this domain"),
        ],
        responses={200: WebhookSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        rows = self.get_queryset()
        for name, rows_of_it in self._things().items():
            if thing := find_in_query(rows_of_it, request, f"{name}_id"):
                rows = rows.filter(**{name: thing})
        if (url := request.query_params.get("url")) is not None:
            rows = rows.at(url)
        return self.listed(rows)

    @extend_schema(
        summary="Create a webhook",
        description=(
            "An endpoint that is told of mail to one alias, one mailbox, or a whole domain (that needs a key for all "
            "mailboxes). The answer holds the secret that verifies what arrives, this once. Without `payload` it is "
            "full for a key with emails:content, and else metadata; full needs emails:content."
        ),
        parameters=[LOCATION],
        request=NewWebhookSerializer,
        responses={201: WebhookWithSecretSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample(
                "For an alias, with a token that the receiver wants to see",
                {
                    "alias_id": "alias_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "url": "https://hooks.example.net/mail",
                    "headers": {"Authorization": "Bearer 3rS7w9…"},
                    "description": "Support tickets",
                },
                request_only=True,
            ),
            OpenApiExample(
                "For a mailbox, without what mails say",
                {
                    "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
                    "url": "https://hooks.example.net/mail",
                    "payload": "metadata",
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        body = body_of(request)
        refuse_full_payload(body, self.caller)
        if body.get("domain_id") is not None:
            require_all_mailboxes(self.caller)
        references = {f"{name}_id": rows for name, rows in self._things().items()}
        values = values_in_body(request, NewWebhookSerializer, references=references)
        if values["url"]:
            values["url"] = guard.check_url(values["url"])
        return self.once(lambda: self._created(values))

    def _created(self, values: dict[str, Any]) -> Response:
        webhook, secret = webhooks.create_webhook(
            **{"payload": default_payload(self.caller), **values, "url": values["url"] or ""},
            created_by=ApiKey.objects.get(pk=self.caller.key_id),
        )
        answer = self.created(webhook)
        answer.data["secret"] = secret
        return answer

    @extend_schema(
        summary="Read one webhook",
        description=f"Where it leads, and whether it is on. {HEADERS}",
        parameters=[ID],
        responses={200: WebhookSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return self.shown(self.found(id))

    @extend_schema(
        summary="Change a webhook",
        description=f"What is not named stays as it is. {HEADERS} {ELSEWHERE} {AIMING}",
        parameters=[ID],
        request=WebhookChangesSerializer,
        responses={200: ChangedWebhookSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample(
                "One header more",
                {"headers": {"Authorization": MASK, "X-Tenant": "support"}},
                request_only=True,
            )
        ],
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        return self._changed(request, id, WebhookChangesSerializer)

    @extend_schema(
        summary="Replace a webhook",
        description=(
            f"Takes all of it, as it was read, with what is to be different; what it is bound to stays. {HEADERS} "
            f"{ELSEWHERE} {AIMING}"
        ),
        parameters=[ID],
        request=WholeWebhookSerializer,
        responses={200: ChangedWebhookSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample(
                "Another path at the same receiver",
                {
                    "url": "https://hooks.example.net/tickets",
                    "headers": {"X-Custom-Header": MASK},
                    "payload": "full",
                    "description": "Tickets",
                },
                request_only=True,
            )
        ],
    )
    def update(self, request: Request, id: str) -> Response:  # noqa: A002
        return self._changed(request, id, WholeWebhookSerializer)

    @extend_schema(
        summary="Delete a webhook",
        description=(
            "Nothing more is sent, from 1 s later at most; what it had not delivered is canceled. The emails stay. "
            "Requests that are under way are told in `Attempts-In-Flight`: those cannot be taken back."
        ),
        parameters=[ID, IN_FLIGHT],
        responses={204: None, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        webhook = self.found(id)
        webhooks.delete_webhook(webhook, by=self.caller.actor, agree=self.unless_changed(id))
        answer = self.gone()
        answer["Attempts-In-Flight"] = str(webhooks.in_flight_of(webhook))
        return answer

    @extend_schema(
        operation_id="webhooks_pause",
        summary="Pause a webhook",
        description=(
            "Nothing more is sent, from 1 s later at most; what comes meanwhile is held, and nothing is dropped. "
            "`attempts_in_flight` says how many requests are under way, which cannot be taken back."
        ),
        parameters=[ID],
        request=None,
        responses={200: WebhookSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def pause(self, request: Request, id: str) -> Response:  # noqa: A002
        webhook = self.found(id)
        values_in_body(request, NothingSerializer)
        webhooks.pause_webhook(webhook, reason=f"paused with the key {self.caller.identifier}")
        return self.shown(self.found(id))

    @extend_schema(
        operation_id="webhooks_resume",
        summary="Resume a webhook",
        description=(
            "What was held goes out, the oldest first. If its alias was moved, this confirms that mail of the mailbox "
            f"where it leads now may go to its endpoint. {CONTENT}"
        ),
        parameters=[ID],
        request=None,
        responses={200: WebhookSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def resume(self, request: Request, id: str) -> Response:  # noqa: A002
        webhook = self.found(id)
        refuse_full_webhook(webhook, self.caller)
        values_in_body(request, NothingSerializer)
        webhooks.resume_webhook(webhook)
        return self.shown(self.found(id))

    @extend_schema(
        operation_id="webhooks_rotate_secret",
        summary="Give a webhook a new secret",
        description=(
            "The answer holds it, this once. Until `previous_secret_until` the one before signs as well: "
            "`webhook-signature` carries both signatures, `x-webhook-signature` that of the secret before, and "
            "`x-webhook-signature-next` that of the new one. While a rotation overlaps, another one is refused, for "
            "receivers may still use the secret before; `overlap_hours` 0 ends both at once. What is under way "
            f"(`attempts_in_flight`) was signed before. {CONTENT}"
        ),
        parameters=[ID],
        request=RotationSerializer,
        responses={
            200: WebhookWithSecretSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`rotation_overlaps`: the secret before the last rotation still signs."),
        },
        examples=[OpenApiExample("End the one before at once", {"overlap_hours": 0}, request_only=True)],
    )
    def rotate_secret(self, request: Request, id: str) -> Response:  # noqa: A002
        webhook = self.found(id)
        refuse_full_webhook(webhook, self.caller)
        values = values_in_body(request, RotationSerializer)
        secret = webhooks.rotate_secret(webhook, overlap=timedelta(hours=values["overlap_hours"]))
        return self._shown_with(webhook, secret)

    def _things(self) -> dict[str, QuerySet[Any]]:
        """What a webhook can be bound to, as far as the key may see it."""
        caller = self.caller
        return {
            "alias": Alias.objects.visible_to(caller),
            "mailbox": Mailbox.objects.visible_to(caller),
            "domain": Domain.objects.visible_to(caller),
        }

    def _changed(self, request: Request, public_id: str, serializer: type[BodySerializer]) -> Response:
        body = body_of(request)
        refuse_full_payload(body, self.caller)
        webhook = self.found(public_id)
        unless_changed = self.unless_changed(public_id)

        def agree(row: Webhook) -> None:
            if unless_changed is not None:
                unless_changed(row)
            if is_aimed_anew(row, body):
                refuse_full_webhook(row, self.caller)

        agree(webhook)  # before the form is looked at
        values = values_in_body(request, serializer, current=self.json_of(webhook))
        if "url" in values:
            values["url"] = values["url"] or ""
            if values["url"] not in ("", webhook.url):
                values["url"] = guard.check_url(values["url"])
        if "headers" in values:
            values["headers"] = {name: None if value == MASK else value for name, value in values["headers"].items()}
        # and once more under its lock: somebody may have made it a full one meanwhile
        return self.once(lambda: self._shown_with(webhook, webhooks.update_webhook(webhook, agree=agree, **values)))

    def _shown_with(self, webhook: Webhook, secret: str | None) -> Response:
        del webhook.attempts_in_flight  # type: ignore[attr-defined]  # annotated before the change: counted anew
        json = self.json_of(webhook)
        return Response(json | ({} if secret is None else {"secret": secret}), headers=self._tag_of(json))
