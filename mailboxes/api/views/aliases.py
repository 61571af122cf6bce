"""Aliases over HTTP. A key with an allowlist has those that lead to one of its mailboxes."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.bodies import body_of
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find_in_query, matching
from emailgistics.common.resources import ID, LOCATION, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.api.aliases import AliasesOf
from mailboxes.api.bodies import AliasChangesSerializer, NewAliasSerializer, WholeAliasSerializer
from mailboxes.api.serializers import AliasSerializer
from mailboxes.api.views.mailboxes import DOMAIN_FILTER
from mailboxes.models import Alias
from mailboxes.services import provision

WIDE = (
    "The catch-all `*`, patterns, and names with a `+` need a key for all mailboxes: they take mail that others would "
    "get."
)
NOT_MADE = described(
    409,
    "`address_unavailable`: the address is taken, reserved or at rest, or the pattern is there already; `conflict`: "
    f"the domain has {provision.MAX_PATTERNS} patterns.",
)
MOVED = (
    "With another `mailbox_id` the alias moves: mail that came before stays where it is, and the alias's webhooks "
    "pause until somebody resumes them."
)


class AliasViewSet(ResourceViewSet[Alias]):
    serializer_class = AliasSerializer
    is_conditional = True
    list_filters: ClassVar = ("domain_id", "mailbox_id", "name")
    required_scopes: ClassVar = {
        "list": Scope.ALIASES_READ,
        "retrieve": Scope.ALIASES_READ,
        "create": Scope.ALIASES_WRITE,
        "update": Scope.ALIASES_WRITE,
        "partial_update": Scope.ALIASES_WRITE,
        "destroy": Scope.ALIASES_WRITE,
    }
    effects: ClassVar = {"create": Effect.WHOLE, "partial_update": Effect.WHOLE}

    def get_queryset(self) -> QuerySet[Alias]:
        return self._aliases.rows

    @extend_schema(
        summary="List aliases, newest first",
        description="Those that lead to a mailbox that the key may open.",
        parameters=[
            DOMAIN_FILTER,
            OpenApiParameter("mailbox_id", str, description="Only those that lead there."),
            OpenApiParameter("name", str, description="Only those of this name."),
        ],
        responses={200: AliasSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        rows = self.get_queryset()
        if domain := find_in_query(self._aliases.domains, request, "domain_id"):
            rows = rows.filter(domain=domain)
        if mailbox := find_in_query(self._aliases.mailboxes, request, "mailbox_id"):
            rows = rows.filter(mailbox=mailbox)
        return self.listed(matching(rows, request, "name", provision.named))

    @extend_schema(
        summary="Create an alias",
        description=f"A further address of a domain, which leads to a mailbox. {WIDE}",
        parameters=[LOCATION],
        request=NewAliasSerializer,
        responses={201: AliasSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM, **NOT_MADE},
        examples=[
            OpenApiExample(
                "To the mailbox that is meant if none is named",
                {
                    "domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "name": "support",
                    "description": "Support ticket intake",
                },
                request_only=True,
            ),
            OpenApiExample(
                "A pattern that leads to two mailboxes",
                {
                    "domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "name": "order-*",
                    "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
                    "further_mailbox_ids": ["mbx_01jd2x8kr8h2k5n8r1t4w7y0b3"],
                    "priority": 10,
                },
                request_only=True,
            ),
            OpenApiExample(
                "What no other address of the domain takes",
                {
                    "domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "name": "*",
                    "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        return self.created(self._aliases.create(body_of(request)))

    @extend_schema(
        summary="Read one alias",
        description="Where it leads, and whether it takes mail.",
        parameters=[ID],
        responses={200: AliasSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return self.shown(self.found(id))

    @extend_schema(
        summary="Change an alias",
        description=f"What is not named stays as it is. {MOVED} {WIDE}",
        parameters=[ID],
        request=AliasChangesSerializer,
        responses={200: AliasSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[OpenApiExample("Refuse mail to it", {"active": False}, request_only=True)],
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        return self.shown(self._aliases.change(id, body_of(request), agreeing=self.unless_changed))

    @extend_schema(
        summary="Replace an alias",
        description=(
            f"Takes all of it, as it was read, with what is to be different; `domain_id` and `name` stay. {MOVED} "
            f"{WIDE}"
        ),
        parameters=[ID],
        request=WholeAliasSerializer,
        responses={200: AliasSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample(
                "Another description",
                {
                    "domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e",
                    "name": "support",
                    "description": "Second line",
                    "mailbox_id": "mbx_01jd2x8kr4e7cb8q2z5v9w0d3n",
                    "active": True,
                },
                request_only=True,
            )
        ],
    )
    def update(self, request: Request, id: str) -> Response:  # noqa: A002
        return self.shown(self._aliases.change(id, body_of(request), is_whole=True, agreeing=self.unless_changed))

    @extend_schema(
        summary="Delete an alias",
        description=f"Mail to it is refused from now on; what came by it stays. Its address rests for 30 days. {WIDE}",
        parameters=[ID],
        responses={204: None, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        self._aliases.delete(id, agreeing=self.unless_changed)
        return self.gone()

    @property
    def _aliases(self) -> AliasesOf:
        return AliasesOf(self.caller)
