from typing import Any

from django.urls import path

from mailboxes.api.views.aliases import AliasViewSet
from mailboxes.api.views.batch import AliasBatchViewSet
from mailboxes.api.views.domains import DomainViewSet
from mailboxes.api.views.emails import EmailFileViewSet, EmailViewSet
from mailboxes.api.views.mailboxes import MailboxViewSet
from mailboxes.api.views.quarantine import QuarantineViewSet
from mailboxes.api.views.refusals import RefusalViewSet
from mailboxes.api.views.routing import RoutingViewSet
from mailboxes.api.views.rules import RuleViewSet

MANY: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("domains", DomainViewSet.as_view(MANY)),
    path("domains/<str:id>", DomainViewSet.as_view(ONE)),
    path("domains/<str:id>/status", DomainViewSet.as_view({"get": "status"})),
    path("domains/<str:id>/verify", DomainViewSet.as_view({"post": "verify"})),
    path("mailboxes", MailboxViewSet.as_view(MANY)),
    path("mailboxes/<str:id>", MailboxViewSet.as_view(ONE)),
    path("aliases", AliasViewSet.as_view(MANY)),
    path("aliases/batch", AliasBatchViewSet.as_view({"post": "run"})),  # before the ids
    path("aliases/<str:id>", AliasViewSet.as_view({**ONE, "put": "update"})),
    path("rules", RuleViewSet.as_view(MANY)),
    path("rules/<str:id>", RuleViewSet.as_view(ONE)),
    path("refusals", RefusalViewSet.as_view({"get": "list"})),
    path("routing/explain", RoutingViewSet.as_view({"post": "explain"})),
    path("emails", EmailViewSet.as_view({"get": "list", "post": "create"})),
    # one of them is in webhooks/api/urls.py: what stands on it goes with it
    path("emails/<str:id>/attachments", EmailViewSet.as_view({"get": "attachments"})),
    path("emails/<str:id>/attachments/<str:attachment_id>", EmailFileViewSet.as_view({"get": "attachment"})),
    path("emails/<str:id>/release", QuarantineViewSet.as_view({"post": "release"})),
    path("emails/<str:id>/raw", EmailFileViewSet.as_view({"get": "raw"})),
]
