"""A mail as the body of a request, its envelope in the query, and what is answered once it is committed."""

from collections.abc import Mapping
from http import HTTPStatus
from io import BytesIO
from typing import IO, Any

from django.http import HttpRequest, UnreadablePostError
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework import exceptions, serializers
from rest_framework.exceptions import ErrorDetail
from rest_framework.parsers import BaseParser
from rest_framework.request import Request

from emailgistics.common.bodies import body_of
from emailgistics.common.problems import described
from emailgistics.common.requests import declared_length, is_chunked
from mailboxes.api.serializers import PublicIdField
from mailboxes.models import Email, Mailbox
from mailboxes.smtp import syntax

READ_OCTETS = 64 * 1024
MIB = 1024 * 1024
MAX_RECIPIENTS = 100  # as of SMTP
NO_MAIL = "There is no mail in the body."
BLOCKED = "A rule blocks this mail."


class LengthRequiredError(exceptions.APIException):
    status_code = HTTPStatus.LENGTH_REQUIRED
    default_code = "length_required"
    default_detail = "Send the mail with a Content-Length, not in chunks."


class CompressedError(exceptions.APIException):
    status_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    default_code = "unsupported_media_type"
    default_detail = "Send the mail as it is, without a Content-Encoding."


class BlockedError(exceptions.APIException):
    """Not a 403, which is about the key: with another one it would be the same."""

    status_code = HTTPStatus.CONFLICT
    default_code = "blocked_by_rule"
    default_detail = BLOCKED


NO_SENDER = "This is no sender address; write it like ada@example.net."


class MailParser(BaseParser):
    """The octets of the body, exactly as they come.

    Chunks are refused: the server shows the end of a connection that broke off as the end of the body, and half a mail
    is as good a mail as any. With a length that is noticed.
    """

    media_type = "message/rfc822"

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,  # noqa: ARG002 - DRF's signature
        parser_context: Mapping[str, Any] | None = None,
    ) -> dict[str, bytes]:
        request: Request = (parser_context or {})["request"]
        if is_chunked(request._request):  # noqa: SLF001 - DRF has no public name for it
            raise LengthRequiredError
        if request.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
            raise CompressedError
        octets = BytesIO()  # gives its octets away without copying them
        try:
            while piece := stream.read(READ_OCTETS):
                octets.write(piece)
        except UnreadablePostError as error:
            raise exceptions.ParseError("The body ended before it was whole.") from error
        if octets.tell() != declared_length(request._request):  # noqa: SLF001
            raise exceptions.ParseError("The body ended before it was whole.")
        return {"mail": octets.getvalue()}


class InternationalMailParser(MailParser):
    """Mail with UTF-8 in its headers (RFC 6532)."""

    media_type = "message/global"


def cost_of(request: HttpRequest) -> int:
    """Of the key's limits: one for each MiB that is begun. What comes in chunks is refused, whatever its size."""
    return 1 if is_chunked(request) else max(1, -(-declared_length(request) // MIB))


def octets_in(request: Request) -> bytes:
    """The octets of the body. Raises ValidationError without any, and whatever MailParser raises."""
    octets: bytes = body_of(request).get("mail", b"")
    if not octets:
        raise exceptions.ValidationError(NO_MAIL, "required")
    return octets


def envelope_in(request: Request) -> tuple[str, list[str]]:
    """mail_from and recipients as the query gives them, the same recipient once. Raises ValidationError."""
    query = request.query_params
    senders, given = query.getlist("mail_from"), list(dict.fromkeys(query.getlist("recipient")))
    recipients = [syntax.bare_path(address, keyword="TO") for address in given]
    sender = syntax.bare_path(senders[0], keyword="FROM") if senders else ""
    errors: dict[str, list[ErrorDetail]] = {
        name: [ErrorDetail("There is no such parameter here; there is recipient, mail_from.", "unknown_field")]
        for name in query
        if name not in ("recipient", "mail_from")
    }
    if sender is None or not syntax.is_storable_sender(sender):
        errors["mail_from"] = [ErrorDetail(NO_SENDER, "invalid_address")]
    elif has_unquoted_space(sender):
        errors["mail_from"] = [ErrorDetail(f"{NO_SENDER} In a query, + is written %2B.", "invalid_address")]
    if not given:
        errors["recipient"] = [ErrorDetail("Say for whom it is: recipient=support@example.com", "required")]
    elif len(given) > MAX_RECIPIENTS:
        errors["recipient"] = [ErrorDetail(f"A mail has at most {MAX_RECIPIENTS} recipients.", "max_length")]
    elif None in recipients or any(map(has_unquoted_space, given)):
        text = "This is no recipient address; write it like support@example.com. In a query, + is written %2B."
        errors["recipient"] = [ErrorDetail(text, "invalid_address")]
    if errors:
        raise exceptions.ValidationError(errors)
    return sender or "", [recipient for recipient in recipients if recipient is not None]


def has_unquoted_space(address: str) -> bool:
    """In a query it is a + that was not escaped."""
    return " " in address and '"' not in address


class SubmittedEmailSerializer(serializers.Serializer[Email]):
    id = PublicIdField()
    mailbox_id = PublicIdField(Mailbox)


class SubmittedSerializer(serializers.Serializer[Any]):
    id = serializers.CharField(help_text="of the message (msg_…), or of the record that a rule had it thrown away")
    resent = serializers.BooleanField(
        help_text="whether this key handed the same mail in for these recipients before; then `id` is what it was "
        "taken as"
    )
    discarded = serializers.BooleanField(help_text="whether a rule says to take it and to throw it away")
    emails = SubmittedEmailSerializer(
        many=True, help_text="of that message, in the mailboxes that the key may open; waiting to be processed"
    )


# for `extend_schema`
DESCRIPTION = """\
Mail in by HTTP, with the routing, the rules and the promise of SMTP: it is stored, octet for octet, for all recipients
or for none, and the answer comes once that is committed. Opening it and its webhooks come after. Where it goes is in
the query, and headers have no say in it. A recipient that belongs to a mailbox which the key may not open is a 404,
like one that does not exist. The mailboxes that the key may open say whether the mail is taken (rules, room) and are
all that the answer tells of; if one of them keeps it, it goes to all that the recipient leads to.

The same octets from the same sender to the same recipient, handed in by the same key within 48 hours, are the same
mail, if they have a Message-ID or a Received header: it is stored once, and the answer to the rest is a 200. What came
by SMTP or by another key does not count: an answer never tells whether a mail is there that somebody else sent."""
PARAMETERS = [
    OpenApiParameter(
        "recipient",
        str,
        many=True,
        required=True,
        description="An envelope recipient, as in RCPT TO; repeat it for more, up to 100. Write + as %2B.",
    ),
    OpenApiParameter(
        "mail_from", str, description="The envelope sender, as in MAIL FROM; without it, the null sender."
    ),
]
EXAMPLES = [
    *(
        OpenApiExample(
            "A mail",
            value=f"From: Ada <ada@example.net>\r\nTo: help@example.com\r\nSubject: {subject}\r\n"
            "Message-ID: <1@example.net>\r\n\r\nIt does not turn.\r\n",
            request_only=True,
            media_type=parser.media_type,
        )
        for parser, subject in ((MailParser, "Broken engine"), (InternationalMailParser, "Größere Maschine"))
    ),
    OpenApiExample(
        "Stored",
        value={
            "id": "msg_01kaz3v8gqe1ta1y3q2zv4m8xj",
            "resent": False,
            "discarded": False,
            "emails": [{"id": "email_01kaz3v8gqe1tb7n0x3c5d6e7f", "mailbox_id": "mbx_01kaz3q0h2f3g4h5j6k7m8n9p0"}],
        },
        response_only=True,
        status_codes=["201"],
    ),
]
MAIL_PROBLEMS = (
    described(
        400,
        "`validation_error` with `errors`: the query is not right, a recipient's address is disabled "
        "(address_disabled), the mail has passed too many hosts (routing_loop), or there is no mail; or "
        "`parse_error`: the body ended before it was whole.",
    )
    | described(409, "`blocked_by_rule`: a rule blocks this mail for a recipient.")
    | described(411, "`length_required`: the body came in chunks, of which a lost connection could leave half a mail.")
    | described(413, "`body_too_large`: a mail has at most 40 MiB, unless the operator says otherwise.")
    | described(415, "`unsupported_media_type`: the body is a mail, sent as message/rfc822 or message/global.")
    | described(
        429,
        "`mailbox_full`: a recipient's mailbox has no room for this mail; try again when it has. Or `rate_limited`: "
        "the key has used up `violated_policies`, of which a mail needs one for each MiB that is begun.",
    )
    | described(503, "`unavailable`: nothing was stored; try again, see Retry-After.")
)
