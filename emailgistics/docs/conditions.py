"""What the OpenAPI document says of conditional requests: the same for every view that has them."""

from copy import deepcopy
from typing import Any

from drf_spectacular.openapi import AutoSchema

from emailgistics.common.problems import CONTENT_TYPE

Json = dict[str, Any]

GIVING_NEW = frozenset({"POST", "PATCH"})
READS, CHANGES = frozenset({"GET"}), frozenset({"PUT", "PATCH", "DELETE"})
ETAG = {
    "description": "a tag of this answer, for If-None-Match and If-Match",
    "schema": {"type": "string"},
    "example": '"5f2b8c0d9e1a47366b1f0c2d8e4a7b90"',
}
NEW_ETAG = ETAG | {"description": "the tag of what it is now, for the If-Match of a further change"}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "ETag of an answer that you have: 304 without a body, if it is still the same.",
    "schema": {"type": "string"},
}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": (
        "ETag of what you have read: 412, if somebody has changed it since. What changes by itself does not count."
    ),
    "schema": {"type": "string"},
}
NOT_MODIFIED = {"description": "You have it already.", "headers": {"ETag": ETAG}}
PROBLEM = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
MALFORMED = {"description": "`malformed_tag`: If-Match is neither `*` nor tags in quotes.", "content": PROBLEM}
PRECONDITION_FAILED = {
    "description": "`precondition_failed`: it is not as If-Match says; read it again.",
    "content": PROBLEM,
}


class ConditionalSchema(AutoSchema):
    def get_operation(self, *args: Any, **kwargs: Any) -> Json | None:
        operation: Json | None = super().get_operation(*args, **kwargs)
        if operation is not None and getattr(self.view, "is_conditional", False):
            if self.method in READS:
                _add(operation, IF_NONE_MATCH, "304", NOT_MODIFIED)
                operation["responses"]["200"].setdefault("headers", {})["ETag"] = deepcopy(ETAG)
            elif self.method in CHANGES:
                _add(operation, IF_MATCH, "412", PRECONDITION_FAILED)
                operation["responses"].setdefault("400", deepcopy(MALFORMED))
            for status in ("200", "201") if self.method in GIVING_NEW else ():
                if status in operation["responses"]:
                    operation["responses"][status].setdefault("headers", {})["ETag"] = deepcopy(NEW_ETAG)
        return operation


def _add(operation: Json, parameter: Json, status: str, response: Json) -> None:
    operation.setdefault("parameters", []).append(deepcopy(parameter))
    operation["responses"].setdefault(status, deepcopy(response))
