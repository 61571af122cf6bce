"""An alias and its webhook in one call."""

from http import HTTPStatus
from typing import Any, ClassVar

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from apikeys.models import ApiKey
from emailgistics.common import footprint
from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import body_of, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, NOT_FOUND_PROBLEM
from emailgistics.common.resources import LOCATION
from emailgistics.common.views import Effect
from mailboxes.api.serializers import AliasSerializer
from mailboxes.api.views.aliases import NOT_MADE, WIDE
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision
from webhooks import guard
from webhooks.api.bodies import NewAliasWebhookSerializer
from webhooks.api.serializers import AliasWebhookSerializer
from webhooks.api.views.content import default_payload, refuse_full_payload
from webhooks.api.views.webhooks import WebhookViews
from webhooks.services.alias_webhooks import AliasWebhook, create_alias_webhook


class AliasWebhookViewSet(WebhookViews):
    required_scopes: ClassVar = {"create": (Scope.ALIASES_WRITE, Scope.WEBHOOKS_WRITE)}
    effects: ClassVar = {"create": Effect.SPLIT}  # the name in a URL is looked up first

    @extend_schema(
        operation_id="webhooks_alias_create",
        summary="Create an alias with a webhook",
        description=(
            "Both, or neither. With `first_or_create` an alias that is there is taken as it is, and so is a webhook of "
            "it with the same `url`: then nothing is made, the answer is a 200, and there is no secret in it, for that "
            f"is shown once. full needs emails:content. {WIDE}"
        ),
        parameters=[LOCATION],
        request=NewAliasWebhookSerializer,
        responses={
            200: AliasWebhookSerializer,
            201: AliasWebhookSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **NOT_MADE,
        },
        examples=[
            OpenApiExample(
                "An intake for tickets, as often as it is asked for",
                {
                    "domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "name": "support",
                    "url": "https://hooks.example.net/mail",
                    "description": "Support ticket intake",
                    "first_or_create": True,
                },
                request_only=True,
            )
        ],
    )
    def create(self, request: Request) -> Response:
        body, caller = body_of(request), self.caller
        refuse_full_payload(body, caller)
        name = body.get("name")
        if isinstance(name, str) and provision.acts_on_whole_domain(name):
            require_all_mailboxes(caller)
        mailboxes = Mailbox.objects.visible_to(caller)
        values = values_in_body(
            request,
            NewAliasWebhookSerializer,
            references={"domain_id": Domain.objects.visible_to(caller), "mailbox_id": mailboxes},
            many_references={"further_mailbox_ids": mailboxes},
        )
        url = guard.check_url(values["url"]) if values["url"] else ""
        for_alias = {name: values[name] for name in NewAliasWebhookSerializer.FOR_ALIAS if name in values}
        for_alias |= {"may_take_reserved": caller.all_mailboxes, "among": None if caller.all_mailboxes else mailboxes}
        for_both = {"domain", "name", "mailbox", "url", "first_or_create", "description"}

        def make() -> Response:
            made = create_alias_webhook(
                domain=values["domain"],
                name=values["name"],
                mailbox=values.get("mailbox"),
                mailboxes=mailboxes,
                aliases=Alias.objects.visible_to(caller).select_related("domain").with_copies(),
                for_alias=for_alias,
                url=url,
                first_or_create=values["first_or_create"],
                description=values.get("description", ""),
                created_by=ApiKey.objects.get(pk=caller.key_id),
                **{
                    "payload": default_payload(caller),
                    **{name: value for name, value in values.items() if name not in for_both | for_alias.keys()},
                },
            )
            return self._answered(made)

        return self.once(make)

    def _answered(self, made: AliasWebhook) -> Response:
        footprint.note_rows([made.alias, made.webhook])
        webhook: dict[str, Any] = self.json_of(made.webhook)
        if made.secret is not None:
            webhook["secret"] = made.secret
        alias = AliasSerializer(made.alias, context={"principal": self.caller}).data
        return Response(
            {"alias": alias, "webhook": webhook},
            status=HTTPStatus.OK if made.secret is None else HTTPStatus.CREATED,
            headers={"Location": f"{settings.BASE_URL}/v1/webhooks/{made.webhook.public_id}"},
        )
