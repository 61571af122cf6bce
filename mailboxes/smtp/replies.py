"""What the listener answers: reply code, enhanced status code (RFC 3463), a fixed text.

The texts repeat nothing that the client said and nothing out of an exception.
"""

from collections.abc import Iterable

from emailgistics.common.errors import DomainError, LimitReachedError, NotFoundError, UnavailableError
from mailboxes.addresses import InvalidAddressError
from mailboxes.services.provision import UnknownDomainError
from mailboxes.services.quota import MailboxFullError
from mailboxes.services.receive import Receipt, RoutingLoopError
from mailboxes.services.route import (
    AddressDisabledError,
    DomainForTestsError,
    DomainNotVerifiedError,
    UnknownRecipientError,
)
from mailboxes.services.rules import BlockedByRuleError
from mailboxes.smtp.limits import Limits

OK = "250 2.0.0 OK"
BYE = "221 2.0.0 Bye"
SENDER_OK = "250 2.1.0 Sender OK"
RECIPIENT_OK = "250 2.1.5 Recipient OK"
SEND_DATA = "354 End data with <CR><LF>.<CR><LF>"
BEGIN_TLS = "220 2.0.0 Ready to start TLS"
NOT_VERIFIED = "252 2.1.5 Not verified; send mail to find out"

OUR_FAULT = "451 4.3.0 Temporary failure here, please try again later"
FAULT_IN_DATA = "421 4.3.0 Temporary failure here, closing the connection; please try again later"
TOO_MANY_CONNECTIONS = "421 4.7.0 Too many connections, please try again later"
TOO_MANY_IDLE_COMMANDS = "421 4.7.0 Too many commands without a mail, closing the connection"
TOO_MANY_MESSAGES = "421 4.7.0 Too many messages on one connection, please go on in another"
TOO_MANY_BAD_COMMANDS = "421 4.7.0 Too many bad commands, closing the connection"
TOO_MANY_UNKNOWN = "421 4.7.0 Too many unknown recipients, closing the connection"
SHUTTING_DOWN = "421 4.3.2 Shutting down, please try again later"
IDLE_TOO_LONG = "421 4.4.2 Idle for too long, closing the connection"
TOO_SLOW = "421 4.4.2 Too slow, closing the connection"
TOO_MANY_RECIPIENTS = "452 4.5.3 Too many recipients, send the rest in another transaction"
NO_ROOM = "452 4.3.1 No room for this message now, please try again later"

NOT_UNDERSTOOD = "500 5.5.2 Command not understood"
TOO_LONG = "500 5.5.2 Command line too long"
LMTP_HERE = "500 5.5.1 This is LMTP, send LHLO"
SMTP_HERE = "500 5.5.1 This is SMTP, send EHLO"
BAD_ARGUMENT = "501 5.5.4 Syntax error in the command's arguments"
BAD_SENDER = "501 5.1.7 Not a sender address"
BAD_RECIPIENT = "501 5.1.3 Not a recipient address"
NOT_OFFERED = "502 5.5.1 Command not offered"
MAIL_FIRST = "503 5.5.1 Send MAIL first"
RCPT_FIRST = "503 5.5.1 No valid recipients"
NESTED_MAIL = "503 5.5.1 A mail transaction is open already; RSET ends it"
TLS_IS_ON = "503 5.5.1 TLS is on already"
TLS_FIRST = "530 5.7.0 Send STARTTLS first"
UNKNOWN_RECIPIENT = "550 5.1.1 No such recipient here"
DISABLED = "550 5.2.1 This address is disabled"
NOT_HOSTED = "550 5.7.1 This domain is not hosted here"
DOMAIN_NOT_VERIFIED = "450 4.7.1 This domain is not verified yet, please try again later"
FOR_TESTS = "550 5.7.1 This domain is for tests and takes no mail from your network"
REFUSED = "550 5.7.1 Refused"
BLOCKED = "550 5.7.1 Refused by a rule of this host"
TOO_BIG = "552 5.3.4 The message is larger than this host accepts"
NOT_ASCII = "553 5.6.7 An address that is not ASCII needs SMTPUTF8"
ROUTING_LOOP = "554 5.4.6 Routing loop: too many hosts have passed this message on"
UNKNOWN_PARAMETER = "555 5.5.4 Parameter not recognised"
MAILBOX_FULL = "452 4.2.2 The mailbox is full"

# the first that fits: the cases, then the kinds that new cases will be of
_FOR_ERRORS: tuple[tuple[type[DomainError], str], ...] = (
    (InvalidAddressError, BAD_RECIPIENT),
    (UnknownDomainError, NOT_HOSTED),
    (DomainForTestsError, FOR_TESTS),
    (UnknownRecipientError, UNKNOWN_RECIPIENT),
    (AddressDisabledError, DISABLED),
    (DomainNotVerifiedError, DOMAIN_NOT_VERIFIED),
    (BlockedByRuleError, BLOCKED),
    (MailboxFullError, MAILBOX_FULL),
    (UnavailableError, OUR_FAULT),
    (LimitReachedError, NO_ROOM),
    (NotFoundError, UNKNOWN_RECIPIENT),
    (RoutingLoopError, ROUTING_LOOP),
    (DomainError, REFUSED),
)


def refusal(error: DomainError) -> str:
    return next(reply for kind, reply in _FOR_ERRORS if isinstance(error, kind))


def accepted(receipt: Receipt) -> str:
    return f"250 2.0.0 accepted as {receipt.public_id}"


def greeting(hostname: str, protocol: str) -> str:
    return f"220 {hostname} {protocol} Emailgistics"


def greet_first(verb: str) -> str:
    return f"503 5.5.1 Send {verb} first"


def help_on(verbs: Iterable[str]) -> str:
    return f"214 2.0.0 Commands: {' '.join(verbs)}"


def too_often(wait_s: int) -> str:
    return f"451 4.7.1 Too many messages from your address, try again in {wait_s} seconds"


def extensions(hostname: str, *, max_message_bytes: int, limits: Limits, with_starttls: bool) -> str:
    """The answer to EHLO and LHLO. AUTH is not offered, nor is CHUNKING.

    LIMITS is RFC 9422; its section 4.1 counts every MAIL of a session in MAILMAX, also one that was refused, and leaves
    open what one too many is told: here it is 421, which any command may be answered with (RFC 5321 section 3.8).
    """
    lines = [
        hostname,
        "PIPELINING",
        "ENHANCEDSTATUSCODES",
        f"SIZE {max_message_bytes}",
        "8BITMIME",
        "SMTPUTF8",
        *(["STARTTLS"] if with_starttls else []),
        f"LIMITS RCPTMAX={limits.max_recipients} MAILMAX={limits.max_messages}",
    ]
    return "\r\n".join([*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}"])
