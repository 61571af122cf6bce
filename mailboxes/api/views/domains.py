"""Domains over HTTP. A key with an allowlist sees those that its mailboxes are in, and changes none."""

from typing import ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, require_all_mailboxes
from emailgistics.common.bodies import values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, BODY_PROBLEMS, NOT_FOUND_PROBLEM, described
from emailgistics.common.resources import ID, LOCATION, ResourceViewSet
from mailboxes.api.bodies import DomainChangesSerializer, NewDomainSerializer
from mailboxes.api.serializers import DomainSerializer
from mailboxes.api.views.deleting import NOT_EMPTY, WITH_MAIL, is_with_mail, require_right_to_its_mail
from mailboxes.models import Domain, Mailbox
from mailboxes.services import provision

ALL_MAILBOXES = "Needs a key for all mailboxes."


class DomainViewSet(ResourceViewSet[Domain]):
    serializer_class = DomainSerializer
    required_scopes: ClassVar = {
        "list": Scope.DOMAINS_READ,
        "retrieve": Scope.DOMAINS_READ,
        "create": Scope.DOMAINS_WRITE,
        "partial_update": Scope.DOMAINS_WRITE,
        "destroy": Scope.DOMAINS_WRITE,
    }

    def get_queryset(self) -> QuerySet[Domain]:
        return Domain.objects.visible_to(self.caller)

    @extend_schema(
        summary="List domains, newest first",
        description="A key with a mailbox allowlist sees the domains of its mailboxes.",
        responses={200: DomainSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:  # noqa: ARG002
        return self.listed(self.get_queryset())

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
        return self.shown(provision.update_domain(domain, **values))

    @extend_schema(
        summary="Delete a domain",
        description=(
            "With all its mailboxes, and all aliases of it and to them. Their addresses rest for 30 days, and so does "
            f"the domain. {ALL_MAILBOXES}"
        ),
        parameters=[ID, WITH_MAIL],
        responses={204: None, **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM, **NOT_EMPTY},
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002
        require_all_mailboxes(self.caller)
        require_right_to_its_mail(request)
        domain = self.found(id)
        provision.delete_domain(domain, with_mail=is_with_mail(request))
        return self.gone()
