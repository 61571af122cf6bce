"""What all views of the API are made of that change something: with an Idempotency-Key, they do it once."""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial
from typing import Any, ClassVar, TypeVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet

from emailgistics.common import idempotency
from emailgistics.common.idempotency import HEADER, METHODS, REPLAYED, Claim, Kept
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.requests import refuse_unreadable

Row = TypeVar("Row", bound=TypedIdModel)
Act = Callable[..., Response]


class Effect(Enum):
    """How an action does once what it does."""

    NONE = "it changes nothing, so it may run as often as it likes; nothing of it is kept"
    WHOLE = "all of it runs in the transaction that keeps its answer: no socket and no waiting in it"
    SPLIT = "it asks others or waits outside of that transaction, and calls `once` or `made_once` for what it changes"


class StrictQuery(APIView):
    """A view whose query is read as it is meant, or refused."""

    repeatable: ClassVar[Mapping[str, tuple[str, ...]]] = {}  # by action: parameters that may stand there several times

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # the key, its limits, its scopes
        action = str(getattr(self, "action", None))  # none if there is no such method
        refuse_unreadable(request, repeatable=self.repeatable.get(action, ()))


class ApiViewSet(StrictQuery, GenericViewSet[Row]):
    """Each POST and PATCH names its effect; a check refuses to start with one that does not (apikeys.E003)."""

    effects: ClassVar[Mapping[str, Effect]] = {}
    claim: Claim | None = None  # of a request with an Idempotency-Key

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method not in METHODS or HEADER not in request.headers or self.action is None:
            return
        idempotency.check_name(request.headers[HEADER])
        if self.effects[self.action] is not Effect.NONE:
            # where the view set has put the action that answers
            method = request.method.lower()
            setattr(self, method, partial(self._answered_once, getattr(self, method)))

    def once(self, act: Callable[[], Response]) -> Response:
        """What act answers, or answered before. In one transaction with it; for an action whose effect is SPLIT."""
        if self.claim is None:
            return act()
        with idempotency.held(self.claim) as kept:
            if kept is None:
                answer = act()
                idempotency.keep_answer(self.claim, answer)
                return answer
        return self._said_again(kept)

    def made_once(self, act: Callable[[], str], show: Callable[[str], Response]) -> Response:
        """What show answers for the id that act returns. Only that id is kept: what it names is shown anew each time,
        once the transaction is over. For an action whose effect is SPLIT.
        """
        if self.claim is None:
            return show(act())
        with idempotency.held(self.claim) as kept:
            made = kept["made"] if kept else act()
            if kept is None:
                idempotency.keep_made(self.claim, made)
        answer = show(made)
        return _marked(answer) if kept else answer

    def secret_again(self, public_id: str, digest: str) -> str:
        """The secret with that digest, which an answer of this view has shown, of what has that id."""
        raise NotImplementedError

    def _answered_once(self, act: Act, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.claim = idempotency.claim_of(request)
        if self.effects[str(self.action)] is Effect.WHOLE:
            return self.once(lambda: act(request, *args, **kwargs))
        kept = idempotency.kept_of(self.claim)
        return self._said_again(kept) if kept and not kept["made"] else act(request, *args, **kwargs)

    def _said_again(self, kept: Kept) -> Response:
        body = idempotency.with_secrets(kept["body"], self.secret_again)
        return _marked(Response(body, kept["status"], headers=kept["headers"]))


def _marked(answer: Response) -> Response:
    answer[REPLAYED] = "true"
    return answer
