"""Mail that was refused at SMTP, or thrown away as a rule says, over HTTP: for keys that may see all mail."""

from typing import ClassVar, cast

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from emailgistics.common.access import Scope, principal, require_all_mailboxes
from emailgistics.common.pagination import Pages, RowsOf
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, NOT_FOUND_PROBLEM
from emailgistics.common.views import StrictQuery
from mailboxes.api.filters import FOR_REFUSALS, refusals_in
from mailboxes.api.serializers import RefusalSerializer
from mailboxes.models import Refusal


class RefusalViewSet(StrictQuery, GenericViewSet[Refusal]):
    serializer_class = RefusalSerializer
    required_scopes: ClassVar = {"list": Scope.EMAILS_READ}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Refusal]:
        return Refusal.objects.all()

    @extend_schema(
        summary="List refused mail, newest first",
        description=(
            "What SMTP refused and what was thrown away as a rule says, one for each recipient, with the reply that "
            "was given. Of what a network is refused in an hour only the first few are on record; every discard is. "
            "What is refused to `POST /v1/emails` is told there. Needs a key for all mailboxes."
        ),
        parameters=FOR_REFUSALS,
        responses={200: RefusalSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        caller, pages = principal(request), cast("Pages", self.paginator)
        require_all_mailboxes(caller)
        pages.locate(request, Refusal)
        page = pages.cut(RowsOf(refusals_in(request)))
        return self.get_paginated_response(RefusalSerializer(page, many=True, context={"principal": caller}).data)
