"""Many changes of aliases in one request."""

from http import HTTPStatus
from typing import ClassVar

from drf_spectacular.utils import OpenApiExample, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope, principal
from emailgistics.common.bodies import body_of
from emailgistics.common.problems import ACCESS_PROBLEMS, BODY_PROBLEMS, CONTENT_TYPE
from emailgistics.common.views import ApiViewSet, Effect
from mailboxes.api import batch
from mailboxes.api.aliases import AliasesOf
from mailboxes.models import Alias

DESCRIPTION = f"""\
Up to {batch.MAX_OPERATIONS} operations, done in their order: `create` takes in `data` what `POST /v1/aliases` takes,
`update` what `PATCH /v1/aliases/{{id}}` takes, and `delete` nothing; the `id` stands beside `data` or in it. For each
there is the status and the alias or the very problem that it would be answered by itself.

By itself each succeeds or fails, and `summary` counts: 200 if all have succeeded, 207 if any has failed. With
`"atomic": true` the first that fails ends it and nothing is done: a 422 `batch_failed` says which one (`index`) and why
(`error`). What is wrong with the form of an operation itself, such as an unknown `action`, is a 400 for all of them.
Whatever is not answered 200 or 207 has done nothing at all.

It costs as much of the key's limits as one request for each {batch.OPERATIONS_PER_REQUEST} operations that are begun.
"""
FAILED = {
    (422, CONTENT_TYPE): OpenApiResponse(
        batch.BatchProblemSerializer,
        f"`batch_too_large`: more than {batch.MAX_OPERATIONS} operations. `batch_failed`: with `atomic`, the operation "
        "`index` failed with `error`. Nothing was done.",
    )
}
ADDRESS = {"domain_id": "dom_01jd2x8kq0f9vatn1m6w3h5c7e", "name": "support"}


class AliasBatchViewSet(ApiViewSet[Alias]):
    serializer_class = batch.BatchResultSerializer
    pagination_class = None
    required_scopes: ClassVar = {"run": Scope.ALIASES_WRITE}
    request_costs: ClassVar = {"run": batch.cost_of}
    effects: ClassVar = {"run": Effect.WHOLE}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "private, no-cache"}

    @extend_schema(
        operation_id="aliases_batch",
        summary="Create, change and delete many aliases",
        description=DESCRIPTION,
        request=batch.BatchSerializer,
        responses={
            200: OpenApiResponse(batch.BatchResultSerializer, "All have succeeded."),
            207: OpenApiResponse(batch.BatchResultSerializer, "Some have failed; see `summary`."),
            **BODY_PROBLEMS,
            **ACCESS_PROBLEMS,
            **FAILED,
        },
        examples=[
            OpenApiExample(
                "One of each",
                {
                    "operations": [
                        {"action": "create", "data": ADDRESS},
                        {"action": "update", "id": "alias_01jd2x8kq0f9vatn1m6w3h5c7e", "data": {"active": False}},
                        {"action": "delete", "id": "alias_01jd2x8kr4e7cb8q2z5v9w0d3n"},
                    ]
                },
                request_only=True,
            ),
            OpenApiExample(
                "Both or none",
                {
                    "operations": [
                        {"action": "create", "data": ADDRESS},
                        {"action": "create", "data": {**ADDRESS, "name": "sales"}},
                    ],
                    "atomic": True,
                },
                request_only=True,
            ),
        ],
    )
    def run(self, request: Request) -> Response:
        operations, is_atomic = batch.operations_in(body_of(request))
        results = batch.run(operations, AliasesOf(principal(request)), request=request, is_atomic=is_atomic)
        has_failed = any("error" in result for result in results)
        return Response(batch.answer_of(results), HTTPStatus.MULTI_STATUS if has_failed else HTTPStatus.OK)
