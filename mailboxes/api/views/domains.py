"""Domains over HTTP. A key with an allowlist sees those that its mailboxes are in, and changes none."""

from typing import ClassVar

from django.db.models import Q, QuerySet
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import matching
from emailgistics.common.resources import ID, LOCATION, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes import addresses
from mailboxes.api.bodies import DomainChangesSerializer, NewDomainSerializer
from mailboxes.api.serializers import DomainSerializer, DomainStatusSerializer, ErasureJobSerializer, status_of
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
from mailboxes.services import dns_records, provision, verification

ALL_MAILBOXES = "Needs a key for all mailboxes."
VERIFIED_ANEW_AFTER_S = 5  # by whoever has just put the record there; the DNS is not asked more often


class DomainViewSet(ResourceViewSet[Domain]):
    serializer_class = DomainSerializer
    is_conditional = True
    list_filters: ClassVar = ("name",)
    required_scopes: ClassVar = {
        "list": Scope.DOMAINS_READ,
        "retrieve": Scope.DOMAINS_READ,
        "create": Scope.DOMAINS_WRITE,
        "partial_update": Scope.DOMAINS_WRITE,
        "destroy": Scope.DOMAINS_WRITE,
        "status": Scope.DOMAINS_READ,
        "verify": Scope.DOMAINS_WRITE,
    }
    effects: ClassVar = {"create": Effect.WHOLE, "partial_update": Effect.WHOLE, "verify": Effect.SPLIT}

    def get_queryset(self) -> QuerySet[Domain]:
        return Domain.objects.visible_to(self.caller)

    @extend_schema(
        summary="List domains, newest first",
        description="A key with a mailbox allowlist sees the domains of its mailboxes.",
        parameters=[OpenApiParameter("name", str, description="Only the one of this name.")],
        responses={200: DomainSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        rows = matching(self.get_queryset(), request, "name", lambda name: Q(name=addresses.domain_key(name)))
        return self.listed(rows)

    @extend_schema(
        summary="Create a domain",
        description=f"Makes its default mailbox too, which takes mail for postmaster and abuse. {ALL_MAILBOXES}",
        parameters=[LOCATION],
        request=NewDomainSerializer,
        responses={
            201: DomainSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **described(409, "`conflict`: the domain is here already, or was deleted less than 30 days ago."),
        },
        examples=[
            OpenApiExample("A domain", {"name": "example.com"}, request_only=True),
            OpenApiExample(
                "One for trying things out",
                {"name": "test.example.com", "test": True, "default_mailbox": "all"},
                request_only=True,
            ),
        ],
    )
    def create(self, request: Request) -> Response:
        require_all_mailboxes(self.caller)
        values = values_in_body(request, NewDomainSerializer)
        return self.created(provision.create_domain(**values))

    @extend_schema(
        summary="Read one domain",
        description="Its settings. `default_mailbox_id` is null if the key may not open that mailbox.",
        parameters=[ID],
        responses={200: DomainSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return self.shown(self.found(id))

    @extend_schema(
        summary="Change a domain",
        description=f"What is not named stays as it is. {ALL_MAILBOXES}",
        parameters=[ID],
        request=DomainChangesSerializer,
        responses={200: DomainSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        examples=[OpenApiExample("Take no more mail for it", {"active": False}, request_only=True)],
    )
    def partial_update(self, request: Request, id: str) -> Response:  # noqa: A002
        require_all_mailboxes(self.caller)
        domain = self.found(id)
        values = values_in_body(
            request,
            DomainChangesSerializer,
            current=self.json_of(domain),
            references={"default_mailbox_id": Mailbox.objects.visible_to(self.caller)},
        )
        return self.shown(provision.update_domain(domain, agree=self.unless_changed(id), **values))

    @extend_schema(
        summary="Delete a domain",
        description=(
            "With all its mailboxes, and all aliases of it and to them. Their addresses rest for 30 days, and so does "
            f"the domain. {ERASED} {ALL_MAILBOXES}"
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
        require_all_mailboxes(self.caller)
        require_right_to_its_mail(request)
        domain = self.found(id)
        job = provision.delete_domain(
            domain, with_mail=is_with_mail(request), by=self.caller.actor, agree=self.unless_changed(id)
        )
        return answer_to_deleting(job)

    @extend_schema(
        operation_id="domains_status",
        summary="Look at a domain's DNS records",
        description=(
            "Asks the DNS for the MX record that leads mail here, the TXT record that says whose the domain is, and "
            f"SPF. It takes {dns_records.WITHIN_S:.0f} s at most: what is not answered by then is `unknown`. What was "
            f"found is the answer for {dns_records.KEPT_S} s."
        ),
        parameters=[ID],
        responses={
            200: DomainStatusSerializer,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(503, "`dns_busy`: as many domains are being looked at as may be at once; try again."),
        },
    )
    def status(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        domain = self.found(id)
        return Response(status_of(domain, dns_records.records_of(domain)))

    @extend_schema(
        operation_id="domains_verify",
        summary="Verify that a domain is yours",
        description=(
            "Looks for its TXT record in the DNS (`records.txt` of its status), and notes in `verified_at` that it was "
            f"there; then it may be taken away. {ALL_MAILBOXES}"
        ),
        parameters=[ID],
        request=None,
        responses={
            200: DomainSerializer,
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`record_not_found`: the DNS answers, and the record is not there (yet)."),
            **described(
                503,
                "`dns_unavailable`: the DNS has no answer. `dns_busy`: as many domains are being looked at as may be "
                "at once. Try again in a moment.",
            ),
        },
    )
    def verify(self, request: Request, id: str) -> Response:  # noqa: A002
        require_all_mailboxes(self.caller)
        domain = self.found(id)
        values_in_body(request, NothingSerializer)
        verification.require_record(domain, max_age_s=VERIFIED_ANEW_AFTER_S)
        return self.once(lambda: self.shown(verification.note_verified(domain)))
