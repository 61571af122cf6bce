from typing import Any

from django.urls import path

from webhooks.api.views.alias_webhooks import AliasWebhookViewSet
from webhooks.api.views.deliveries import DeliveryViewSet
from webhooks.api.views.emails import ErasableEmailViewSet
from webhooks.api.views.jobs import JobViewSet
from webhooks.api.views.links import EmailLinksViewSet
from webhooks.api.views.pulling import PullViewSet
from webhooks.api.views.replays import EmailReplayViewSet, ReplayViewSet
from webhooks.api.views.sample import SampleViewSet
from webhooks.api.views.trying import TrialViewSet
from webhooks.api.views.webhooks import WebhookViewSet

MANY: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("webhooks", WebhookViewSet.as_view(MANY)),
    path("webhooks/sample", SampleViewSet.as_view({"get": "retrieve"})),  # before the ids
    path("webhooks/alias", AliasWebhookViewSet.as_view({"post": "create"})),
    path("webhooks/<str:id>", WebhookViewSet.as_view(ONE)),
    path("webhooks/<str:id>/pause", WebhookViewSet.as_view({"post": "pause"})),
    path("webhooks/<str:id>/resume", WebhookViewSet.as_view({"post": "resume"})),
    path("webhooks/<str:id>/rotate-secret", WebhookViewSet.as_view({"post": "rotate_secret"})),
    path("webhooks/<str:id>/test", TrialViewSet.as_view({"post": "test"})),
    path("webhooks/<str:id>/check-signature", TrialViewSet.as_view({"post": "check_signature"})),
    path("webhooks/<str:id>/deliveries", DeliveryViewSet.as_view({"get": "list"})),
    path("webhooks/<str:id>/replay", ReplayViewSet.as_view({"post": "replay"})),
    path("webhooks/<str:id>/pull", PullViewSet.as_view({"get": "pull"})),
    path("webhooks/<str:id>/ack", PullViewSet.as_view({"post": "ack"})),
    path("deliveries/<str:id>", DeliveryViewSet.as_view({"get": "retrieve"})),
    path("deliveries/<str:id>/replay", DeliveryViewSet.as_view({"post": "replay"})),
    path("deliveries/<str:id>/cancel", DeliveryViewSet.as_view({"post": "cancel"})),
    path("jobs", JobViewSet.as_view({"get": "list"})),
    path("jobs/<str:id>", JobViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path("emails/<str:id>", ErasableEmailViewSet.as_view({"get": "retrieve", "delete": "destroy"})),
    path("emails/<str:id>/deliveries", DeliveryViewSet.as_view({"get": "of_email"})),
    path("emails/<str:id>/revoke-links", EmailLinksViewSet.as_view({"post": "revoke"})),
    path("emails/<str:id>/replay", EmailReplayViewSet.as_view({"post": "replay"})),
]
