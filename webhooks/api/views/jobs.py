"""Work that goes on after the answer: replays, and erasing the mail of what was deleted."""

from operator import attrgetter
from typing import Any, ClassVar, cast
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common.access import Scope
from emailgistics.common.errors import NotFoundError
from emailgistics.common.filters import Query
from emailgistics.common.ids import TypedIdModel
from emailgistics.common.pagination import PARAMETERS, Pages, RowsOf
from emailgistics.common.problems import ACCESS_PROBLEMS, BAD_REQUEST, NOT_FOUND_PROBLEM, described
from emailgistics.common.requests import find
from emailgistics.common.resources import ID, ResourceViewSet
from mailboxes.api.serializers import ErasureJobSerializer
from mailboxes.models import ErasureJob
from mailboxes.services import erasure_jobs
from webhooks.api.serializers import ReplayJobSerializer
from webhooks.models import ReplayJob
from webhooks.services import replay_jobs

JOB = PolymorphicProxySerializer(
    component_name="Job",
    serializers={ReplayJobSerializer.KIND: ReplayJobSerializer, ErasureJobSerializer.KIND: ErasureJobSerializer},
    resource_type_field_name="kind",
)
TO_READ = {"x-needs": "Needs the scope of what it does: `webhooks:read` for a replay, `emails:write` for an erasure."}
TO_CANCEL = {
    "x-needs": "Needs the scope of what it does: `webhooks:write` for a replay, `emails:write` for an erasure."
}


class JobRows:
    """Of both tables, as one list. Each is short: what is skipped is read."""

    def __init__(self, *tables: QuerySet[Any]) -> None:
        self._tables = [RowsOf(rows) for rows in tables]

    def newest(self, most: int, *, skip: int = 0, before: UUID | None = None) -> list[TypedIdModel]:
        found = [job for rows in self._tables for job in rows.newest(skip + most, before=before)]
        return sorted(found, key=attrgetter("pk"), reverse=True)[skip : skip + most]

    def oldest(self, most: int, *, after: UUID) -> list[TypedIdModel]:
        found = [job for rows in self._tables for job in rows.oldest(most, after=after)]
        return sorted(found, key=attrgetter("pk"))[:most]

    def count(self, most: int) -> int:
        return min(most, sum(rows.count(most) for rows in self._tables))


def json_of(job: Any) -> dict[str, Any]:
    shown = ErasureJobSerializer(job) if isinstance(job, ErasureJob) else ReplayJobSerializer(job)
    return dict(shown.data)


class JobViewSet(ResourceViewSet[Any]):
    """Whose scope a key lacks, that does not exist for it: what a job does is not in the route."""

    required_scopes: ClassVar = {"list": (), "retrieve": (), "destroy": ()}
    SCOPE_OF_REPLAYS: ClassVar = {
        "list": Scope.WEBHOOKS_READ,
        "retrieve": Scope.WEBHOOKS_READ,
        "destroy": Scope.WEBHOOKS_WRITE,
    }

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def found(self, public_id: str) -> ReplayJob | ErasureJob:
        """Raises NotFoundError, after the same queries whatever the reason."""
        try:
            return find(self._replays, public_id)
        except NotFoundError:
            return find(self._erasures, public_id)

    @extend_schema(
        operation_id="jobs_list",
        summary="List jobs, newest first",
        description=(
            "Those that the key can read: where the answer that named a job was lost, it is found here. Replays are "
            "there with `webhooks:read`, erasures with `emails:write`; without both the list is empty."
        ),
        responses={
            200: PolymorphicProxySerializer(
                component_name="Job",
                serializers={
                    ReplayJobSerializer.KIND: ReplayJobSerializer,
                    ErasureJobSerializer.KIND: ErasureJobSerializer,
                },
                resource_type_field_name="kind",
                many=True,
            ),
            **BAD_REQUEST,
            **ACCESS_PROBLEMS,
        },
        extensions=TO_READ,
    )
    def list(self, request: Request) -> Response:
        pages = cast("Pages", self.paginator)
        pages.locate(request, ReplayJob)  # ids of both have one prefix
        Query(request, *PARAMETERS).refuse_what_is_wrong()
        page = pages.cut(JobRows(self._replays, self._erasures))
        return self.get_paginated_response([json_of(job) for job in page])

    @extend_schema(
        operation_id="jobs_retrieve",
        summary="Read a job",
        description=(
            "How far it is. A replay is for who may see its webhook and all mailboxes that it is for; an erasure for "
            "the key that asked for it, and for keys for all mailboxes."
        ),
        parameters=[ID],
        responses={200: JOB, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
        extensions=TO_READ,
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002 - as in the route
        return Response(json_of(self.found(id)))

    @extend_schema(
        operation_id="jobs_destroy",
        summary="Cancel a job",
        description=(
            "It goes no further, and can still be read; what a replay has made due stays so, and what is erased stays "
            "erased. Mail that an erasure leaves is read by no key, and stays until its retention ends."
        ),
        parameters=[ID],
        responses={
            204: None,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **described(409, "`conflict`: it is done."),
        },
        extensions=TO_CANCEL,
    )
    def destroy(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        job, by = self.found(id), self.caller.actor.name
        if isinstance(job, ErasureJob):
            erasure_jobs.cancel(job, by=by)
        else:
            replay_jobs.cancel_replay(job, by=by)
        return self.gone()

    @property
    def _replays(self) -> QuerySet[ReplayJob]:
        may = self.caller.may(self.SCOPE_OF_REPLAYS[str(self.action)])
        # not none(): it would ask the database nothing, and so tell that there may be something
        rows = ReplayJob.objects.visible_to(self.caller)
        return rows if may else rows.filter(state="")

    @property
    def _erasures(self) -> QuerySet[ErasureJob]:
        rows = ErasureJob.objects.visible_to(self.caller)
        return rows if self.caller.may(Scope.EMAILS_WRITE) else rows.filter(state="")
