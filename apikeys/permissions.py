"""What a key may do: the scopes that a view names for its actions. Checks that each names some, and its effect."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.checks import CheckMessage, Error, register
from django.urls import URLPattern, URLResolver, get_resolver
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from apikeys.authentication import required_scopes
from emailgistics.common.access import principal
from emailgistics.common.idempotency import METHODS
from emailgistics.common.problems import InsufficientScopeError

if TYPE_CHECKING:
    from rest_framework.views import APIView  # which imports this module, by the settings

PASSED = (None, "metadata")  # no such method: 405 follows; OPTIONS tells nothing about any row
API_ROUTE = "v1/"


class HasScope(BasePermission):
    """Lets an action pass if the key has every scope that the view's `required_scopes` names for it.

    `()` stands for none. An action that is not named is refused. Decided from the route alone, before any object is
    looked for, so that a 403 says nothing about what exists.
    """

    def has_permission(self, request: Request, view: "APIView") -> bool:
        # a view that knows no actions cannot have named them
        action = getattr(view, "action", "")
        if action in PASSED:
            return True
        required = required_scopes(view, str(action))
        if required is None:
            return False
        if not principal(request).may(*required):
            raise InsufficientScopeError(required)
        return True


@register
def every_api_action_names_its_scopes(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    return check_patterns(get_resolver().url_patterns)


def check_patterns(patterns: Sequence[URLPattern | URLResolver]) -> list[CheckMessage]:
    return [
        Error(
            f"{view.__name__} serves {route} and names no scope for the action {action!r}.",
            hint="Add it to the view's required_scopes; () stands for: any valid key.",
            obj=view,
            id="apikeys.E001",
        )
        for route, view, action in _actions(patterns)
        if not (
            HasScope in view.permission_classes and action is not None and required_scopes(view, action) is not None
        )
    ]


@register
def every_api_action_names_its_effect(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:  # noqa: ARG001
    return check_effects(get_resolver().url_patterns)


def check_effects(patterns: Sequence[URLPattern | URLResolver]) -> list[CheckMessage]:
    return [
        Error(
            f"{view.__name__} serves {method.upper()} {route} and does not say how {action!r} takes effect once.",
            hint="Make it an ApiViewSet, and add it to the view's effects; see emailgistics/common/views.py.",
            obj=view,
            id="apikeys.E003",
        )
        for route, view, actions in _routes(patterns)
        for method, action in actions.items()
        if method.upper() in METHODS and action not in getattr(view, "effects", {})
    ]


def _actions(patterns: Sequence[URLPattern | URLResolver]) -> Iterator[tuple[str, "type[APIView]", str | None]]:
    """Each API route with its view class and each of its actions; None for a view that has no actions."""
    for route, view, actions in _routes(patterns):
        named: list[str | None] = [*sorted(set(actions.values()))]
        for action in named or [None]:
            yield route, view, action


def _routes(
    patterns: Sequence[URLPattern | URLResolver], prefix: str = ""
) -> Iterator[tuple[str, "type[APIView]", Mapping[str, str]]]:
    """Each API route with its view class, and its actions by method."""
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from _routes(pattern.url_patterns, route)
            continue
        view = getattr(pattern.callback, "cls", None)
        if view is not None and route.startswith(API_ROUTE):
            # a plain APIView has no actions to name: view sets only
            yield route, view, getattr(pattern.callback, "actions", None) or {}
