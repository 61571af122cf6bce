"""Mailboxes over HTTP. A key with an allowlist sees and changes those on it; it makes none."""

from typing import ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import values_in_body
from emailgistics.common.errors import RefusedError
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find_in_query, matching
from emailgistics.common.resources import ID, LOCATION, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.addresses import ParsedAddress
from mailboxes.api.bodies import MailboxChangesSerializer, NewMailboxSerializer
from mailboxes.api.serializers import ErasureJobSerializer, MailboxSerializer
from mailboxes.api.views.deleting import (
    ERASED,
    JOB_LOCATION,
    NOT_EMPTY,
    WITH_MAIL,
    answer_to_deleting,
    is_with_mail,
    require_right_to_its_mail,
)
from mailboxes.models import Domain, Mailbox
from mailboxes.services import provision

RETENTION = (
    "`retention` holds for the mail that is there already as well: what is older goes soon, and for good, unless it "
    "waits, is in quarantine, or has a delivery that is not over."
)
DOMAIN_FILTER = OpenApiParameter("domain_id", str, description="Only those in this domain.")
WIDE = "needs a key for all mailboxes while the catch-all `*`, or an alias with a `+` in its name, leads there"
UNAVAILABLE = described(409, "`address_unavailable`: taken, reserved, or deleted less than 30 days ago.")


class MailboxViewSet(ResourceViewSet[Mailbox]):
    serializer_class = MailboxSerializer
    is_conditional = True
    changes_by_itself = MailboxChangesSerializer.IGNORED
    list_filters: ClassVar = ("domain_id", "address")
    required_scopes: ClassVar = {
        "list": Scope.MAILBOXES_READ,
        "retrieve": Scope.MAILBOXES_READ,
        "create": Scope.MAILBOXES_WRITE,
        "partial_update": Scope.MAILBOXES_WRITE,
        "destroy": Scope.MAILBOXES_WRITE,
    }
    effects: ClassVar = {"create": Effect.WHOLE, "partial_update": Effect.WHOLE}

    def get_queryset(self) -> QuerySet[Mailbox]:
        return Mailbox.objects.visible_to(self.caller).select_related("domain").with_used_bytes()

    @extend_schema(
        summary="List mailboxes, newest first",
        description="Those that the key may open.",
        parameters=[DOMAIN_FILTER, OpenApiParameter("address", str, description="Only the one with this address.")],
        responses={200: MailboxSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        rows = self.get_queryset()
        if domain := find_in_query(Domain.objects.visible_to(self.caller), request, "domain_id"):
            rows = rows.filter(domain=domain)
        return self.listed(matching(rows, request, "address", _with_address))

    @extend_schema(
        summary="Create a mailbox",
        description="In a domain that exists. Needs a key for all mailboxes.",
        parameters=[LOCATION],
        request=NewMailboxSerializer,
        responses={201: MailboxSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **UNAVAILABLE},
        examples=[
            OpenApiExample("A mailbox", {"address": "support@example.com", "name": "Support"}, request_only=True),
            OpenApiExample(
                "With a time zone and retention",
                {
                    "address": "sales@example.com",
                    "name": "Sales",
                    "time_zone": "Europe/Berlin",
                    "retention": {"raw_days": 90, "content_days": 365},
                },
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        require_all_mailboxes(self.caller)
        values = values_in_body(request, NewMailboxSerializer)
        try:
            return self.created(provision.create_mailbox(**values))
        except provision.UnknownDomainError as error:
            # not a 404: who may make mailboxes may see every domain
            raise RefusedError(error.message, field="address") from error

    @extend_schema(
        summary="Read one mailbox",
        description="Its settings; its mail is under /v1/emails.",
        parameters=[ID],
        responses={200: MailboxSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return self.shown(self.found(id))

    @extend_schema(
        summary="Change a mailbox",
        description=(
            f"What is not named stays as it is. The address does not change. Giving `active` {WIDE}. {RETENTION}"
        ),
        parameters=[ID],
        request=MailboxChangesSerializer,
        responses={200: MailboxSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[
            OpenApiExample("Take no more mail", {"active": False}, request_only=True),
            OpenApiExample("Keep raws as the installation says", {"retention": {"raw_days": None}}, request_only=True),
            OpenApiExample("Hold 2 GiB of mail", {"quota_bytes": 2147483648}, request_only=True),
        ],
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        mailbox = self.found(id)
        values = values_in_body(request, MailboxChangesSerializer, current=self.json_of(mailbox))
        changed = provision.update_mailbox(
            mailbox,
            may_act_on_whole_domain=self.caller.all_mailboxes,
            agree=self.unless_changed(id),
            **values,
        )
        return self.shown(changed)

    @extend_schema(
        summary="Delete a mailbox",
        description=(
            "With all aliases that lead to it; the addresses rest for 30 days. Not the default mailbox of a domain: "
            f"make another one the default first. {ERASED} This {WIDE}: it would end that alias, too."
        ),
        parameters=[ID, WITH_MAIL, JOB_LOCATION],
        responses={
            202: ErasureJobSerializer,
            204: None,
            **BAD_REQUEST,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **NOT_EMPTY,
        },
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        require_right_to_its_mail(request)
        mailbox = self.found(id)
        job = provision.delete_mailbox(
            mailbox,
            with_mail=is_with_mail(request),
            may_act_on_whole_domain=self.caller.all_mailboxes,
            by=self.caller.actor,
            agree=self.unless_changed(id),
        )
        return answer_to_deleting(job)


def _with_address(text: str) -> Q:
    """Raises InvalidAddressError."""
    address = ParsedAddress.parse(text)
    return Q(domain__name=address.domain, address_row__local_key=address.local_key)
