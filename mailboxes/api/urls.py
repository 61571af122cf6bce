from django.urls import path

from mailboxes.api.views import EmailFileViewSet, EmailViewSet

urlpatterns = [
    path("emails", EmailViewSet.as_view({"get": "list"})),
    path("emails/<str:id>", EmailViewSet.as_view({"get": "retrieve"})),
    path("emails/<str:id>/attachments", EmailViewSet.as_view({"get": "attachments"})),
    path("emails/<str:id>/attachments/<str:attachment_id>", EmailFileViewSet.as_view({"get": "attachment"})),
    path("emails/<str:id>/raw", EmailFileViewSet.as_view({"get": "raw"})),
]
