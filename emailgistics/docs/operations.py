"""What the OpenAPI document takes from what a view says of its actions: tags, and whether it does things once."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter

from emailgistics.common.idempotency import HEADER, MAX_NAME_LENGTH, METHODS
from emailgistics.common.views import Effect
from emailgistics.docs.conditions import ConditionalSchema

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": MAX_NAME_LENGTH, "pattern": "^[!-~]+$"},
    OpenApiParameter.HEADER,
    description="Of your choice, another one for each request. Sent again with it, the same does nothing twice.",
)


class OperationSchema(ConditionalSchema):
    def get_override_parameters(self) -> list[Any]:
        effect = getattr(self.view, "effects", {}).get(getattr(self.view, "action", None), Effect.NONE)
        is_once = self.method in METHODS and effect is not Effect.NONE
        return [*super().get_override_parameters(), *([IDEMPOTENCY_KEY] if is_once else [])]
