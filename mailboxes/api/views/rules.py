"""Block and allow rules over HTTP. A key with an allowlist has those of its mailboxes and of its aliases."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import body_of, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM
from emailgistics.common.requests import find_in_query
from emailgistics.common.resources import ID, LOCATION, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.api.bodies import NewRuleSerializer, RuleChangesSerializer
from mailboxes.api.serializers import RuleSerializer
from mailboxes.models import Alias, Domain, Mailbox, Rule
from mailboxes.services import provision, rule_book

WIDE = "Rules for a domain, for all mail, and for an alias that acts on a whole domain need a key for all mailboxes."
WHICH_DECIDES = """\
Which rule decides, when several fit:

1. the narrowest scope in which one fits: the alias that the mail came by, the mailbox, the domain of its recipient, \
all mail;
2. within it the most particular criterion: `sender`, `sender_domain` (the longest), `network` (the longest prefix), \
`attachment` (the longest end of a filename, a media type, `image/*`, `*/*`), `size` (the largest);
3. of rules that are alike in all that: `allow` before `block`, `discard`, `quarantine`; then the oldest.

`allow` lets pass what a wider or less particular rule would stop. `block` refuses with `550 5.7.1`; what is known \
only after the sender was told 250 (the size by SMTP, if others take the mail; attachments always) is kept back \
instead. `discard` answers 250 and keeps only a refusal that says so. `quarantine` keeps the email back: no webhook is \
told of it before `POST /v1/emails/{id}/release`. Of several attachments each is judged by itself, and the strictest \
word counts."""


class RuleViewSet(ResourceViewSet[Rule]):
    serializer_class = RuleSerializer
    is_conditional = True
    list_filters: ClassVar = ("domain_id", "mailbox_id", "alias_id")
    required_scopes: ClassVar = {
        "list": Scope.ALIASES_READ,
        "retrieve": Scope.ALIASES_READ,
        "create": Scope.ALIASES_WRITE,
        "partial_update": Scope.ALIASES_WRITE,
        "destroy": Scope.ALIASES_WRITE,
    }
    effects: ClassVar = {"create": Effect.WHOLE, "partial_update": Effect.WHOLE}

    def get_queryset(self) -> QuerySet[Rule]:
        return Rule.objects.visible_to(self.caller).select_related("alias")

    @extend_schema(
        summary="List rules, newest first",
        description="With an allowlist: those of its mailboxes, and of aliases that lead there.",
        parameters=[
            OpenApiParameter("domain_id", str, description="Only those for this domain as a whole."),
            OpenApiParameter("mailbox_id", str, description="Only those for this mailbox."),
            OpenApiParameter("alias_id", str, description="Only those for this alias."),
        ],
        responses={200: RuleSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        rows = self.get_queryset()
        if domain := find_in_query(self._domains, request, "domain_id"):
            rows = rows.filter(domain=domain)
        if mailbox := find_in_query(self._mailboxes, request, "mailbox_id"):
            rows = rows.filter(mailbox=mailbox)
        if alias := find_in_query(self._aliases, request, "alias_id"):
            rows = rows.filter(alias=alias)
        return self.listed(rows)

    @extend_schema(
        summary="Create a rule",
        description=f"{WHICH_DECIDES}\n\n{WIDE}",
        parameters=[LOCATION],
        request=NewRuleSerializer,
        responses={201: RuleSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample(
                "Refuse a sender in one mailbox",
                {
                    "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
                    "action": "block",
                    "criterion": "sender",
                    "value": "offers@example.net",
                },
                request_only=True,
            ),
            OpenApiExample(
                "Keep back programs, wherever they come to",
                {"action": "quarantine", "criterion": "attachment", "value": ".exe", "description": "Programs"},
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        self._require_right_to_scope(request)
        references = {"domain_id": self._domains, "mailbox_id": self._mailboxes, "alias_id": self._aliases}
        values = values_in_body(request, NewRuleSerializer, references=references)
        self._require_right_to(values.get("alias"))
        return self.created(rule_book.create_rule(**values))

    @extend_schema(
        summary="Read one rule",
        description="What it is for, what it looks for, and what it does.",
        parameters=[ID],
        responses={200: RuleSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return self.shown(self.found(id))

    @extend_schema(
        summary="Change a rule",
        description=f"What is not named stays as it is; what it is for does not change. {WIDE}",
        parameters=[ID],
        request=RuleChangesSerializer,
        responses={200: RuleSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[OpenApiExample("Keep back instead", {"action": "quarantine"}, request_only=True)],
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        rule = self._found_to_change(id)
        values = values_in_body(request, RuleChangesSerializer, current=self.json_of(rule))
        return self.shown(rule_book.update_rule(rule, agree=self.unless_changed(id), **values))

    @extend_schema(
        summary="Delete a rule",
        description=f"Mail that it keeps back stays until it is released. {WIDE}",
        parameters=[ID],
        responses={204: None, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        rule_book.delete_rule(self._found_to_change(id), agree=self.unless_changed(id))
        return self.gone()

    @property
    def _domains(self) -> QuerySet[Domain]:
        return Domain.objects.visible_to(self.caller)

    @property
    def _mailboxes(self) -> QuerySet[Mailbox]:
        return Mailbox.objects.visible_to(self.caller)

    @property
    def _aliases(self) -> QuerySet[Alias]:
        return Alias.objects.visible_to(self.caller)

    def _require_right_to_scope(self, request: Request) -> None:
        """Told by the body's form alone. Raises AllowlistRestrictedError."""
        body = body_of(request)
        is_narrow = body.get("mailbox_id") is not None or body.get("alias_id") is not None
        if body.get("domain_id") is not None or not is_narrow:
            require_all_mailboxes(self.caller)

    def _require_right_to(self, alias: Alias | None) -> None:
        """What the key sees may be more than it may change. Raises AllowlistRestrictedError."""
        if alias is not None and provision.acts_on_whole_domain(alias.name):
            require_all_mailboxes(self.caller)

    def _found_to_change(self, public_id: str) -> Rule:
        """Raises NotFoundError, then AllowlistRestrictedError."""
        rule = self.found(public_id)
        self._require_right_to(rule.alias)
        return rule
