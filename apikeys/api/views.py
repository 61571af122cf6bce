from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apikeys.api.serializers import ApiKeySerializer
from apikeys.models import ApiKey
from emailgistics.common import conditional
from emailgistics.common.access import principal
from emailgistics.common.problems import ACCESS_PROBLEMS
from emailgistics.common.resources import PRIVATE
from emailgistics.common.views import StrictQuery


class MeViewSet(StrictQuery, GenericViewSet[ApiKey]):
    """The key that asks: the first call of every integration."""

    serializer_class = ApiKeySerializer
    is_conditional = True
    required_scopes: ClassVar = {"retrieve": ()}

    @extend_schema(summary="Read about the key that asks", responses={200: ApiKeySerializer, **ACCESS_PROBLEMS})
    def retrieve(self, request: Request) -> Response:
        key = ApiKey.objects.get(pk=principal(request).key_id)
        answer = Response(ApiKeySerializer(key).data, headers={"Cache-Control": PRIVATE})
        # the Date of the answer says as much
        conditional.answer_if_new_but_for(request, answer, {"server_time"})
        return answer
