"""Every address of the installation. Under /v1 only the API answers, for unknown routes too."""

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from emailgistics.common.problems import unknown_route
from emailgistics.docs.views import DocsPage, EventSchemaViewSet, Explorer, SchemaViewSet, docs_schema

admin.autodiscover()

handler400 = "emailgistics.console.errors.bad_request"
handler403 = "emailgistics.console.errors.forbidden"
handler404 = "emailgistics.console.errors.not_found"
handler500 = "emailgistics.console.errors.fault"

urlpatterns = [
    path("favicon.ico", RedirectView.as_view(url=static("emailgistics/favicon.ico"))),
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("settings", RedirectView.as_view(pattern_name="admin:apikeys_apikey_changelist")),
    path("settings/", RedirectView.as_view(pattern_name="admin:apikeys_apikey_changelist")),
    path("docs", Explorer.as_view(), name="docs"),
    path("docs/", Explorer.as_view()),
    path("docs/openapi.json", docs_schema, name="docs-schema"),
    path("docs/<path:path>", DocsPage.as_view(), name="docs-page"),
    path("files/", include("webhooks.files.urls")),
    path("v1/openapi.json", SchemaViewSet.as_view({"get": "retrieve"})),
    path("v1/schemas", EventSchemaViewSet.as_view({"get": "list"})),
    path("v1/schemas/<str:name>", EventSchemaViewSet.as_view({"get": "retrieve"})),
    path("v1/", include("apikeys.api.urls")),
    path("v1/", include("mailboxes.api.urls")),
    path("v1/", include("webhooks.api.urls")),
    path("v1/", include("emailgistics.reports.api.urls")),
    re_path(r"^v1(?:/|$)", unknown_route),  # the last one under v1
]
