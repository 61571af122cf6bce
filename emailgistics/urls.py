"""Every address of the installation. Under /v1 only the API answers, for unknown routes too."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from emailgistics.common.problems import unknown_route

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("v1/", include("apikeys.api.urls")),
    path("v1/", include("mailboxes.api.urls")),
    re_path(r"^v1(?:/|$)", unknown_route),  # the last one under v1
]
