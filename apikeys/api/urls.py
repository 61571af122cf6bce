from django.urls import path

from apikeys.api.views import MeViewSet

urlpatterns = [path("me", MeViewSet.as_view({"get": "retrieve"}))]
