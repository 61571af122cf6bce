from typing import Any

from django.urls import path

from webhooks.api.views.deliveries import DeliveryViewSet
from webhooks.api.views.webhooks import WebhookViewSet

MANY: dict[str, Any] = {"get": "list", "post": "create"}
ONE: dict[str, Any] = {"get": "retrieve", "put": "update", "patch": "partial_update", "delete": "destroy"}

urlpatterns = [
    path("webhooks", WebhookViewSet.as_view(MANY)),
    path("webhooks/<str:id>", WebhookViewSet.as_view(ONE)),
    path("webhooks/<str:id>/pause", WebhookViewSet.as_view({"post": "pause"})),
    path("webhooks/<str:id>/resume", WebhookViewSet.as_view({"post": "resume"})),
    path("webhooks/<str:id>/rotate-secret", WebhookViewSet.as_view({"post": "rotate_secret"})),
    path("webhooks/<str:id>/deliveries", DeliveryViewSet.as_view({"get": "list"})),
    path("deliveries/<str:id>", DeliveryViewSet.as_view({"get": "retrieve"})),
]
