"""Emails over HTTP. A key sees the emails of its mailboxes; all others do not exist for it."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar, cast

from django.db.models import Prefetch, QuerySet
from django.http import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from emailgistics.common import footprint
from emailgistics.common.access import Scope, principal
from emailgistics.common.downloads import MEDIA_TYPE, OCTET_STREAM, File, download
from emailgistics.common.logs import get_logger
from emailgistics.common.pagination import Pages
from emailgistics.common.problems import (
    ACCESS_PROBLEMS,
    BAD_REQUEST,
    NOT_FOUND_PROBLEM,
    InsufficientScopeError,
    described,
)
from emailgistics.common.requests import find
from emailgistics.common.views import ApiViewSet, Effect
from mailboxes import raw
from mailboxes.api import submission
from mailboxes.api.filters import FOR_EMAILS, filters_in, things_in
from mailboxes.api.serializers import (
    LARGE,
    AttachmentListSerializer,
    AttachmentSerializer,
    EmailDetailSerializer,
    EmailSerializer,
    EmailWithContentSerializer,
)
from mailboxes.listing import list_emails
from mailboxes.models import Attachment, Email, Recipient
from mailboxes.services.rules import BlockedByRuleError
from mailboxes.services.submit import submit_mail

log = get_logger(__name__)

RAW_TYPE = "message/rfc822"
ANY_TYPE = "*/*"
RECIPIENTS = Prefetch("recipients", Recipient.objects.select_related("alias"))
RANGE = OpenApiParameter(
    "Range", str, OpenApiParameter.HEADER, description="One range of octets, as in bytes=0-1023; answered with 206."
)
QUARANTINE = ("quarantine_rule__alias",)  # what `quarantine` is made of
RAW_GONE = described(410, "`raw_removed`: the mailbox does not keep raws for so long.")
FILE_GONE = described(410, "`raw_removed`, `content_removed`: the mailbox does not keep attachments for so long.")
CONTENT_GONE = described(410, "`content_removed`: the mailbox does not keep for so long what its mails say.")
RANGE_PROBLEM = described(416, "`range_not_satisfiable`: the range is beyond the end; see Content-Range.")


class EmailViews(ApiViewSet[Email]):
    """What all views of emails share: the rows that the key may see, and that nobody keeps a copy on the way."""

    serializer_class = EmailSerializer
    required_scopes: ClassVar[Mapping[str, Scope | tuple[Scope, ...]]] = {}

    @property
    def default_response_headers(self) -> dict[str, str]:
        return super().default_response_headers | {"Cache-Control": "no-store"}

    def get_queryset(self) -> QuerySet[Email]:
        return Email.objects.visible_to(principal(self.request))


class EmailViewSet(EmailViews):
    parser_classes = (submission.MailParser, submission.InternationalMailParser)
    required_scopes: ClassVar = {
        "list": Scope.EMAILS_READ,
        "create": Scope.EMAILS_SUBMIT,
        "retrieve": Scope.EMAILS_READ,
        "attachments": Scope.EMAILS_CONTENT,
    }
    body_limits: ClassVar = {"create": "MAX_MESSAGE_BYTES"}
    request_costs: ClassVar = {"create": submission.cost_of}
    repeatable: ClassVar = {"create": ("recipient",)}
    effects: ClassVar = {"create": Effect.WHOLE}

    @extend_schema(
        summary="List emails, newest first",
        description="The log of the mailboxes that the key may open: what came, from whom, and where it stands.",
        parameters=FOR_EMAILS,
        responses={200: EmailSerializer(many=True), **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def list(self, request: Request) -> Response:
        caller, pages = principal(request), cast("Pages", self.paginator)
        # ids first, those of filters and of cursors: what may not be seen is a 404 whatever else is wrong
        things = things_in(request, caller)
        pages.locate(request, Email)
        shown = Email.objects.select_related("message", *QUARANTINE).prefetch_related(RECIPIENTS)
        page = pages.cut(list_emails(shown, caller, filters_in(request, caller, things)))
        footprint.note_rows(page)
        return self.get_paginated_response(EmailSerializer(page, many=True, context=self._context).data)

    @extend_schema(
        operation_id="emails_submit",
        summary="Hand in a mail",
        description=submission.DESCRIPTION,
        parameters=submission.PARAMETERS,
        request={parser.media_type: OpenApiTypes.BINARY for parser in parser_classes},
        examples=submission.EXAMPLES,
        responses={
            200: OpenApiResponse(submission.SubmittedSerializer, "A resend, or thrown away as a rule says."),
            201: OpenApiResponse(submission.SubmittedSerializer, "Stored."),
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **submission.MAIL_PROBLEMS,
        },
    )
    def create(self, request: Request) -> Response:
        mail_from, recipients = submission.envelope_in(request)
        octets, caller = submission.octets_in(request), principal(request)
        try:
            # with an Idempotency-Key, nothing is answered before that is committed as well
            receipt = submit_mail(
                by=caller, mail_from=mail_from, recipients=recipients, raw=octets, joins=self.claim is not None
            )
        except BlockedByRuleError as error:
            raise submission.BlockedError from error
        log.info("api.mail_taken", id=receipt.public_id, key=caller.identifier, resent=receipt.is_resend)
        is_discarded = receipt.message_id is None
        stored = self.get_queryset().filter(message=receipt.message_id).order_by("id")
        emails = [] if is_discarded else list(stored)
        footprint.note_rows(emails)
        taken = {
            "id": receipt.public_id,
            "resent": receipt.is_resend,
            "discarded": is_discarded,
            "emails": emails,
        }
        status = HTTPStatus.OK if is_discarded or receipt.is_resend else HTTPStatus.CREATED
        return Response(submission.SubmittedSerializer(taken).data, status=status)

    @extend_schema(
        summary="Read one email",
        description="Without what the mail says, unless `include` asks for it.",
        parameters=[
            OpenApiParameter("id", str, OpenApiParameter.PATH),
            OpenApiParameter(
                "include",
                str,
                description="text, html, headers, details (bounce, list, calendar), separated by commas. Needs the "
                "scope emails:content.",
                many=True,
                explode=False,
                enum=[*EmailWithContentSerializer.PARTS],
            ),
        ],
        responses={200: EmailWithContentSerializer, **BAD_REQUEST, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM},
    )
    def retrieve(self, request: Request, id: str) -> Response:  # noqa: A002 - as in the route
        include = [part for part in request.query_params.get("include", "").split(",") if part]
        if include and not principal(request).may(Scope.EMAILS_CONTENT):
            raise InsufficientScopeError([Scope.EMAILS_CONTENT])
        large = [f"content__{column}" for column in LARGE if column not in include]
        rows = self.get_queryset().select_related("message", "content", *QUARANTINE).prefetch_related(RECIPIENTS)
        email = find(rows.defer(*large), id)
        if unknown := set(include) - set(EmailWithContentSerializer.PARTS):
            there_is = ", ".join(EmailWithContentSerializer.PARTS)
            text = f"There is no {', '.join(sorted(unknown))}; there is {there_is}."
            raise ValidationError({"include": ErrorDetail(text, "invalid_choice")})
        if not include:
            return Response(EmailDetailSerializer(email, context=self._context).data)
        return Response(EmailWithContentSerializer(email, context={**self._context, "include": include}).data)

    @extend_schema(
        operation_id="emails_attachments_list",
        summary="List an email's attachments",
        description="All of them, in the order of the mail.",
        parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH)],
        responses={200: AttachmentListSerializer, **ACCESS_PROBLEMS, **NOT_FOUND_PROBLEM, **CONTENT_GONE},
        filters=False,
    )
    def attachments(self, request: Request, id: str) -> Response:  # noqa: A002, ARG002
        email = find(self.get_queryset(), id)
        raw.refuse_if_content_removed(email)
        rows = email.attachments.select_related("email").order_by("position")
        return Response({"data": AttachmentSerializer(rows, many=True).data})

    @property
    def _context(self) -> dict[str, Any]:
        return {"principal": principal(self.request)}


class AnyTypeNegotiation(BaseContentNegotiation):
    """A file is what it is, whatever the client says that it accepts."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002
        renderers: Any,
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        return renderers[0], renderers[0].media_type

    def select_parser(self, request: Request, parsers: Any) -> Any:  # noqa: ARG002
        return parsers[0]


class EmailFileViewSet(EmailViews):
    """The octets of an email and of its attachments."""

    content_negotiation_class = AnyTypeNegotiation
    required_scopes: ClassVar = {"raw": Scope.EMAILS_CONTENT, "attachment": Scope.EMAILS_CONTENT}

    @extend_schema(
        operation_id="emails_raw",
        summary="Download the raw mail",
        description="Exactly the octets that were accepted over SMTP.",
        parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH), RANGE],
        responses={
            (200, RAW_TYPE): OpenApiTypes.BINARY,
            (206, RAW_TYPE): OpenApiTypes.BINARY,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **RAW_GONE,
            **RANGE_PROBLEM,
        },
    )
    def raw(self, request: Request, id: str) -> HttpResponseBase:  # noqa: A002
        email = find(self.get_queryset().select_related("message"), id)
        raw.refuse_if_removed(email)
        return download(
            request._request,  # noqa: SLF001 - DRF has no public name for it
            File(
                octets=lambda: raw.raw_of(email),
                size=email.message.size,
                sha256=email.message.sha256,
                content_type=RAW_TYPE,
                filename=f"{email.public_id}.eml",
            ),
        )

    @extend_schema(
        operation_id="emails_attachments_download",
        summary="Download an attachment",
        description="Decoded, with the type that the mail declares.",
        parameters=[
            OpenApiParameter("id", str, OpenApiParameter.PATH),
            OpenApiParameter("attachment_id", str, OpenApiParameter.PATH),
            RANGE,
        ],
        responses={
            (200, ANY_TYPE): OpenApiTypes.BINARY,
            (206, ANY_TYPE): OpenApiTypes.BINARY,
            **ACCESS_PROBLEMS,
            **NOT_FOUND_PROBLEM,
            **FILE_GONE,
            **RANGE_PROBLEM,
        },
    )
    def attachment(self, request: Request, id: str, attachment_id: str) -> HttpResponseBase:  # noqa: A002
        email = find(self.get_queryset(), id)
        raw.refuse_if_content_removed(email)  # of which attachments it had is not known either
        raw.refuse_if_removed(email)
        rows = Attachment.objects.filter(email=email).select_related("email__message")
        found = find(rows, attachment_id)
        is_plain = MEDIA_TYPE.fullmatch(found.content_type)
        return download(
            request._request,  # noqa: SLF001 - DRF has no public name for it
            File(
                octets=lambda: raw.attachment_octets(found),
                size=found.size,
                sha256=found.sha256,
                content_type=found.content_type if is_plain else OCTET_STREAM,
                filename=found.filename,
            ),
        )
