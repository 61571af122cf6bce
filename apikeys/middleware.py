"""What every answer to an API request has from the key that asked."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from apikeys import usage


class KeyMiddleware:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        usage.note_answer(request, response)
        return response
