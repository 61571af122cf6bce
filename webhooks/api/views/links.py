"""The links to an email and its attachments that events carry."""

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.bodies import NothingSerializer, values_in_body
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, NOT_FOUND_PROBLEM
from emailgistics.common.resources import ID, ResourceViewSet
from emailgistics.common.views import Effect
from mailboxes.api.serializers import InstantField
from mailboxes.models import Email
from webhooks.files.links import revoke_links


class RevokedLinksSerializer(serializers.Serializer[Any]):
    email_id = serializers.CharField()
    links_revoked_at = InstantField(allow_null=True, help_text="null: no event ever carried links to it")


class EmailLinksViewSet(ResourceViewSet[Email]):
    serializer_class = RevokedLinksSerializer
    required_scopes: ClassVar = {"revoke": (Scope.EMAILS_CONTENT, Scope.EMAILS_WRITE)}
    effects: ClassVar = {"revoke": Effect.WHOLE}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Email]:
        return Email.objects.visible_to(self.caller)

    @extend_schema(
        operation_id="emails_revoke_links",
        summary="Revoke the links to an email",
        description=(
            "At once and for good, for the raw and all attachments: also those in events that were sent long ago or "
            "are still to be sent. With a key all of it can still be read. Twice does no more than once."
        ),
        parameters=[ID],
        request=None,
        responses={200: RevokedLinksSerializer, **BODY_PROBLEMS, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def revoke(self, request: Request, id: str) -> Response:  # noqa: A002
        email = self.found(id)
        values_in_body(request, NothingSerializer)
        revoked_at = revoke_links(email)
        return Response(RevokedLinksSerializer({"email_id": email.public_id, "links_revoked_at": revoked_at}).data)
