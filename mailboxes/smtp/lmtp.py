"""LMTP (RFC 2033): for a mail server in front of us, which wants to hear of each recipient what became of its mail."""
# ruff: noqa: N802, ARG002 - smtp_X(argument) is aiosmtpd's name for command X

from typing import ClassVar

from mailboxes.models import Message
from mailboxes.services.receive import Receipt
from mailboxes.smtp import replies
from mailboxes.smtp.connection import Connection
from mailboxes.smtp.handler import Outcome


class LmtpConnection(Connection):
    protocol_name: ClassVar[str] = "LMTP"
    hello: ClassVar[str] = "LHLO"
    offered: ClassVar[tuple[str, ...]] = ("LHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "HELP", "QUIT")
    source: ClassVar = Message.Source.LMTP

    async def smtp_LHLO(self, argument: str) -> str:
        return await super().smtp_EHLO(argument)

    async def smtp_EHLO(self, argument: str) -> str:
        return replies.LMTP_HERE

    async def smtp_HELO(self, argument: str) -> str:
        return replies.LMTP_HERE

    def _for_each(self, reply: str) -> str:
        """Section 4.2: a reply for each RCPT that was answered with 250, in their order, repeated ones included."""
        return "\r\n".join([reply] * len(self.envelope.admissions))

    def _answer(self, outcome: Outcome, *, size: int) -> str:
        if isinstance(outcome, Receipt):
            return super()._answer(outcome, size=size)
        for receipt in {each.public_id: each for each in outcome if isinstance(each, Receipt)}.values():
            self._has_accepted(receipt, size=size)
        return "\r\n".join(self._answer_each(outcome, size=size))
