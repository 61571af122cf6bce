"""What the listener answers: reply code, enhanced status code (RFC 3463), a fixed text.

The texts repeat nothing that the client said and nothing out of an exception.
"""

from emailgistics.common.errors import DomainError, LimitReachedError, NotFoundError, UnavailableError
from mailboxes.addresses import InvalidAddressError
from mailboxes.services.provision import UnknownDomainError
from mailboxes.services.receive import Receipt, RoutingLoopError
from mailboxes.services.route import AddressDisabledError, DomainForTestsError, UnknownRecipientError

OK = "250 2.0.0 OK"
BYE = "221 2.0.0 Bye"
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
SEND_DATA = "354 End data with <CR><LF>.<CR><LF>"
HELP = "214 2.0.0 Commands: EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT"
NOT_VERIFIED = "252 2.1.5 Not verified; send mail to find out"

OUR_FAULT = "451 4.3.0 Temporary failure here, please try again later"
TOO_MANY_CONNECTIONS = "421 4.7.0 Too many connections, please try again later"
SHUTTING_DOWN = "421 4.3.2 Shutting down, please try again later"
IDLE_TOO_LONG = "421 4.4.2 Idle for too long, closing the connection"
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients, send the rest in another transaction"

NOT_UNDERSTOOD = "500 5.5.2 Command not understood"
BAD_ARGUMENT = "501 5.5.4 Syntax error in the command's arguments"
BAD_SENDER = "501 5.1.7 Not a sender address"
BAD_RECIPIENT = "501 5.1.3 Not a recipient address"
NOT_OFFERED = "502 5.5.1 Command not offered"
EHLO_FIRST = "503 5.5.1 Send EHLO first"
MAIL_FIRST = "503 5.5.1 Send MAIL first"
RCPT_FIRST = "503 5.5.1 No valid recipients"
NESTED_MAIL = "503 5.5.1 A mail transaction is open already; RSET ends it"
UNKNOWN_PARAMETER = "555 5.5.4 Parameter not recognised"
UNKNOWN_RECIPIENT = "550 5.1.1 No such recipient here"
DISABLED = "550 5.2.1 This address is disabled"
NOT_HOSTED = "550 5.7.1 This domain is not hosted here"
FOR_TESTS = "550 5.7.1 This domain is for tests and takes no mail from your network"
REFUSED = "550 5.7.1 Refused"
TOO_BIG = "552 5.3.4 The message is larger than this host accepts"
ROUTING_LOOP = "554 5.4.6 Routing loop: too many hosts have passed this message on"
LIMIT_REACHED = "452 4.3.1 Too much for now, please try again later"

# the first that fits: the cases, then the kinds that new cases will be of
_FOR_ERRORS: tuple[tuple[type[DomainError], str], ...] = (
    (InvalidAddressError, BAD_RECIPIENT),
    (UnknownDomainError, NOT_HOSTED),
    (DomainForTestsError, FOR_TESTS),
    (UnknownRecipientError, UNKNOWN_RECIPIENT),
    (AddressDisabledError, DISABLED),
    (UnavailableError, OUR_FAULT),
    (LimitReachedError, LIMIT_REACHED),
    (NotFoundError, UNKNOWN_RECIPIENT),
    (RoutingLoopError, ROUTING_LOOP),
    (DomainError, REFUSED),
)


def refusal(error: DomainError) -> str:
    return next(reply for kind, reply in _FOR_ERRORS if isinstance(error, kind))


def accepted(receipt: Receipt) -> str:
    return f"250 2.0.0 accepted as {receipt.public_id}"


def greeting_lines(hostname: str, *, max_message_bytes: int) -> list[str]:
    """The answer to EHLO. STARTTLS and AUTH are not offered."""
    lines = [hostname, "PIPELINING", "ENHANCEDSTATUSCODES", f"SIZE {max_message_bytes}", "8BITMIME", "SMTPUTF8"]
    return [*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"]
