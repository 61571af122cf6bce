"""Emails over HTTP, with what stands on them: webhooks know what was told of an email, and what goes with it."""

from typing import ClassVar

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, principal
from emailgistics.common.errors import NotFoundError
from emailgistics.common.problems import ACCESS_PROBLEMS, NOT_FOUND, NOT_FOUND_PROBLEM
from emailgistics.common.requests import find
from mailboxes.api.views.emails import EmailViewSet
from webhooks.services.erase import erase_email


class ErasableEmailViewSet(EmailViewSet):
    required_scopes: ClassVar = {**EmailViewSet.required_scopes, "destroy": Scope.EMAILS_WRITE}

    @extend_schema(
        summary="Delete an email",
        description=(
            "For good: what it says, its attachments, its events, and its deliveries with their attempts. What had not "
            "been delivered is not sent any more; a request that is under way may still arrive. The same mail in "
            "another mailbox stays as it is; the raw goes with the last of them. Whoever still has the `250` or the "
            "`webhook-id` of it can be told that it was erased, and nothing else is kept."
        ),
        parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH)],
        responses={204: None, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        email = find(self.get_queryset(), id)
        erased = erase_email(email.pk, by=f"the key {principal(request).identifier}")
        if erased.deliveries is None:  # by somebody else, a moment ago
            raise NotFoundError(NOT_FOUND)
        return Response(status=status.HTTP_204_NO_CONTENT)
