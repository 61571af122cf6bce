"""Many changes of aliases in one request: what may be sent, what is done, and what is answered for each."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from io import BytesIO
from typing import Any, NotRequired, TypedDict
from uuid import UUID

from django.db import transaction
from django.db.models import TextChoices
from django.http import HttpRequest, UnreadablePostError
from rest_framework import exceptions, serializers
from rest_framework.fields import empty
from rest_framework.request import Request

from emailgistics.common import footprint, problems
from emailgistics.common.bodies import BodySerializer, Choice, Flag, JsonObjectParser, NothingSerializer, values_in
from emailgistics.common.errors import DomainError, RefusedError, UnavailableError
from emailgistics.common.ids import TypedIdModel, decode_id
from mailboxes.api.aliases import AliasesOf
from mailboxes.api.serializers import AliasSerializer
from mailboxes.models import Alias, Domain, Mailbox
from mailboxes.services import provision

MAX_OPERATIONS = 100
OPERATIONS_PER_REQUEST = 10  # that cost as much of the key's limits as one request
HAS_NO_ID = "What is created has no id yet; leave it out."
WHICH = "Say which alias: its id, here or in data."
TWO_IDS = "This is another id than the one in data; which is meant?"


class Action(TextChoices):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class Identifier(serializers.CharField):
    """Whatever is given: what is no id is one that there is not."""

    def run_validation(self, data: Any = empty) -> Any:
        _, value = self.validate_empty_values(data)
        return value


class BatchOperationSerializer(BodySerializer):
    action = Choice(Action.choices)
    id = Identifier(required=False, help_text="of the alias, for update and delete; may stand in `data` instead")
    data = serializers.DictField(  # type: ignore[assignment]  # a field: DRF takes it off the class
        required=False,
        error_messages={"not_a_dict": "This is an object, such as {{…}}."},
        help_text="what would be the body: of POST /v1/aliases for create, of PATCH /v1/aliases/{id} for update",
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        data = attrs.setdefault("data", {})
        if attrs["action"] == Action.CREATE:
            if "id" in attrs:
                raise exceptions.ValidationError({"id": exceptions.ErrorDetail(HAS_NO_ID, "unknown_field")})
            return attrs
        if "id" not in attrs and "id" not in data:
            raise exceptions.ValidationError({"id": exceptions.ErrorDetail(WHICH, "required")})
        if attrs.setdefault("id", data.get("id")) != data.get("id", attrs["id"]):
            raise exceptions.ValidationError({"id": exceptions.ErrorDetail(TWO_IDS, "invalid")})
        return attrs


class BatchSerializer(BodySerializer):
    operations = BatchOperationSerializer(  # type: ignore[call-arg]  # max_length is of the list
        many=True,
        allow_empty=False,
        max_length=MAX_OPERATIONS,
        help_text=f"at most {MAX_OPERATIONS}, done in this order",
    )
    atomic = Flag(
        source="is_atomic", required=False, default=False, help_text="all of them or none; false, unless said"
    )


class ResultSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(help_text="of the operation, from 0")
    status = serializers.IntegerField(help_text="what it would be answered by itself: 201, 200, 204, or of its error")
    data = AliasSerializer(  # type: ignore[assignment]  # a field: DRF takes it off the class
        required=False, allow_null=True, help_text="the alias; null once it is deleted. Not with an error."
    )
    error = problems.ProblemSerializer(required=False, help_text="what it would be answered by itself")


class SummarySerializer(serializers.Serializer[Any]):
    total = serializers.IntegerField()
    succeeded = serializers.IntegerField()
    failed = serializers.IntegerField()


class BatchResultSerializer(serializers.Serializer[Any]):
    results = ResultSerializer(many=True, help_text="one for each operation, in their order")
    summary = SummarySerializer()


class BatchProblemSerializer(problems.ProblemSerializer):
    index = serializers.IntegerField(
        required=False, help_text="with batch_failed: of the operation that failed, from 0"
    )
    error = problems.ProblemSerializer(
        required=False, help_text="with batch_failed: what that operation would be answered by itself"
    )


class Result(TypedDict):
    index: int
    status: int
    data: NotRequired[dict[str, Any] | None]
    error: NotRequired[dict[str, Any]]


class BatchTooLargeError(exceptions.APIException):
    status_code = HTTPStatus.UNPROCESSABLE_ENTITY
    default_code = "batch_too_large"
    default_detail = f"A batch has at most {MAX_OPERATIONS} operations. Nothing was done; send several."


class BatchFailedError(exceptions.APIException):
    """One of all or nothing failed. Not a 207, which is a success to whoever looks no further."""

    status_code = HTTPStatus.UNPROCESSABLE_ENTITY

    def __init__(self, index: int, error: Mapping[str, Any]) -> None:
        super().__init__(f"The operation {index} failed, so nothing was done: {error['detail']}", "batch_failed")
        self.members: dict[str, Any] = {"index": index, "error": error}


@dataclass(frozen=True, slots=True)
class Operation:
    action: Action
    id: str
    data: Mapping[str, Any]


def operations_in(body: Mapping[str, Any]) -> tuple[list[Operation], bool]:
    """The operations, and whether all of them are to be done or none. Raises BatchTooLargeError, ValidationError."""
    given = body.get("operations")
    if isinstance(given, list) and len(given) > MAX_OPERATIONS:
        raise BatchTooLargeError
    values = values_in(body, BatchSerializer)
    return [_operation(one) for one in values["operations"]], values["is_atomic"]


def run(operations: Sequence[Operation], aliases: AliasesOf, *, request: Request, is_atomic: bool) -> list[Result]:
    """Does them in their order, in one transaction: each by itself, or if is_atomic all of them or none.

    Raises BatchFailedError, and whatever is no fault of an operation; nothing is done then.
    """
    with transaction.atomic():
        _hold(operations, aliases)
        results: list[Result] = []
        for index, operation in enumerate(operations):
            result = _result(index, operation, aliases, request)
            if is_atomic and "error" in result:
                raise BatchFailedError(index, result["error"])
            results.append(result)
    return results


def answer_of(results: Sequence[Result]) -> dict[str, Any]:
    failed = sum("error" in result for result in results)
    summary = {"total": len(results), "succeeded": len(results) - failed, "failed": failed}
    return {"results": results, "summary": summary}


def cost_of(request: HttpRequest) -> int:
    """Of the key's limits: one for each OPERATIONS_PER_REQUEST that are begun. Raises ParseError."""
    try:
        octets = request.body
    except UnreadablePostError as error:
        raise exceptions.ParseError("The body ended before it was whole.") from error
    try:
        given = JsonObjectParser().parse(BytesIO(octets)).get("operations")
    except exceptions.APIException:  # told of when its turn comes
        return 1
    count = min(len(given), MAX_OPERATIONS) if isinstance(given, list) else 0
    return max(1, -(-count // OPERATIONS_PER_REQUEST))


def _operation(values: Mapping[str, Any]) -> Operation:
    public_id = values.get("id")
    return Operation(Action(values["action"]), public_id if isinstance(public_id, str) else "", values["data"])


def _result(index: int, operation: Operation, aliases: AliasesOf, request: Request) -> Result:
    try:
        with transaction.atomic():
            status, data = _done(operation, aliases)
            return {"index": index, "status": int(status), "data": data}
    except UnavailableError:
        raise
    except (DomainError, exceptions.APIException) as error:
        answer = problems.exception_handler(error, {"request": request})
        return {"index": index, "status": answer.status_code, "error": json.loads(answer.content)}


def _done(operation: Operation, aliases: AliasesOf) -> tuple[HTTPStatus, dict[str, Any] | None]:
    match operation.action:
        case Action.CREATE:
            return HTTPStatus.CREATED, _shown(aliases.create(operation.data), aliases)
        case Action.UPDATE:
            return HTTPStatus.OK, _shown(aliases.change(operation.id, operation.data), aliases)
        case Action.DELETE:
            values_in({name: value for name, value in operation.data.items() if name != "id"}, NothingSerializer)
            aliases.delete(operation.id)
            return HTTPStatus.NO_CONTENT, None


def _shown(alias: Alias, aliases: AliasesOf) -> dict[str, Any]:
    footprint.note_rows([alias])
    return aliases.json_of(alias)


def _hold(operations: Sequence[Operation], aliases: AliasesOf) -> None:
    """All that is named or meant, before any of it is changed: clients order their operations, and two batches may do
    so differently; and who moves an alias holds the mailbox that it is to lead to before the alias.
    """
    named = [value for operation in operations for value in _ids(operation)]
    provision.hold_all(aliases.domains.filter(pk__in=_keys(Domain, named)))
    # only now: which mailbox a domain means stays as it is
    mailboxes = _keys(Mailbox, named) | _meant(operations, aliases)
    provision.hold_all(aliases.mailboxes.filter(pk__in=mailboxes))
    provision.hold_all(Alias.objects.visible_to(aliases.caller).filter(pk__in=_keys(Alias, named)))


def _meant(operations: Sequence[Operation], aliases: AliasesOf) -> set[UUID]:
    """The mailboxes of new aliases that name none."""
    without = [one.data.get("domain_id") for one in operations if _names_no_mailbox(one)]
    found: set[UUID] = set()
    for domain in aliases.domains.filter(pk__in=_keys(Domain, without)):
        with suppress(RefusedError):  # told of when its turn comes
            found.add(provision.mailbox_for_alias(domain, among=aliases.mailboxes).pk)
    return found


def _names_no_mailbox(operation: Operation) -> bool:
    return operation.action == Action.CREATE and operation.data.get("mailbox_id") is None


def _ids(operation: Operation) -> Iterator[object]:
    yield operation.id
    yield from (operation.data.get(name) for name in ("domain_id", "mailbox_id"))
    further = operation.data.get("further_mailbox_ids")
    yield from further if isinstance(further, list) else ()


def _keys(model: type[TypedIdModel], named: Sequence[object]) -> set[UUID]:
    keys = (decode_id(model.ID_PREFIX, one) for one in named if isinstance(one, str))
    return {key for key in keys if key is not None}
