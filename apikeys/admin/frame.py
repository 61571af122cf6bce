"""What the pages of keys have in common."""

from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from apikeys.models import ApiKey
from emailgistics.common.admin import ConsoleModelAdmin


class KeyPages(ConsoleModelAdmin):
    def _page(self, request: HttpRequest, template: str, *, status: int = 200, **context: Any) -> TemplateResponse:
        frame = {**self.admin_site.each_context(request), "opts": self.opts, "is_fullwidth": "", **context}
        request.current_app = self.admin_site.name
        return TemplateResponse(request, template, frame, status=status)

    def _key(self, request: HttpRequest, object_id: str) -> ApiKey | None:
        key: ApiKey | None = self.get_object(request, object_id)
        return key

    def _not_there(self, request: HttpRequest, object_id: str) -> HttpResponse:
        response: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return response

    @staticmethod
    def _person(request: HttpRequest) -> User:
        assert isinstance(request.user, User)
        return request.user
