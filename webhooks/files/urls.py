from django.urls import path, re_path

from webhooks.files.views import open_link

urlpatterns = [
    path("<str:event>/<str:part>/<str:token>", open_link),
    re_path(r"", open_link, kwargs={"event": "", "part": "", "token": ""}),  # any other path below: the same refusal
]
