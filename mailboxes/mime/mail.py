"""The whole: octets -> ParsedMail."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from mailboxes.mime import bodies, calendars, kinds, reports
from mailboxes.mime.bodies import Leaf
from mailboxes.mime.budget import GUESS_OCTETS, MAX_CALENDAR_OCTETS, MAX_REFERENCES, Budget, Defect
from mailboxes.mime.charsets import clean_line
from mailboxes.mime.fields import read_block
from mailboxes.mime.header import Header
from mailboxes.mime.own_keys import OwnKeys
from mailboxes.mime.parsed import Bounce, Calendar, ParsedMail, Status
from mailboxes.mime.safe_html import safe_html
from mailboxes.mime.structure import Part, scan
from mailboxes.mime.words import decode_words

VERSION = 2  # of what parse answers; higher when the same octets give another answer

_EVENT_ENDS = "END:VEVENT"

log = logging.getLogger(__name__)


def parse(raw: bytes, *, is_null_sender: bool = False) -> ParsedMail:
    """What the mail says, as much of it as can be read. Never raises for what is in raw.

    is_null_sender: the envelope sender is <>, by which some bounces are known that do not say so themselves.
    """
    budget = Budget(sample=raw[:GUESS_OCTETS])
    try:
        fields, parts = scan(raw, budget)
        return _mail(raw, Header(fields, budget), parts, budget, is_null_sender=is_null_sender)
    except MemoryError:
        raise  # says something about this process, not about the mail
    except Exception:
        log.exception("mime.parse_failed")
    budget = Budget(sample=raw[:GUESS_OCTETS])
    budget.note(Defect.INTERNAL_ERROR)
    try:
        block = read_block(raw, 0, budget, ends_at=lambda _: False)
        return _mail(raw, Header(block.fields, budget), [], budget)
    except Exception:
        log.exception("mime.header_failed")
        return _mail(raw, Header((), budget), [], budget)


def _mail(raw: bytes, header: Header, parts: list[Part], budget: Budget, *, is_null_sender: bool = False) -> ParsedMail:
    if not header.fields:
        budget.note(Defect.NO_HEADER)
    leaves = [bodies.read_leaf(part, budget) for part in parts]
    texts, attached = bodies.split(leaves)
    plain = [leaf for leaf in texts if leaf.part.content_type != bodies.HTML]
    marked_up = [leaf for leaf in texts if leaf.part.content_type == bodies.HTML]
    text, text_truncated = bodies.joined(raw, plain, budget, too_long=Defect.TEXT_TOO_LONG)
    html, html_truncated = bodies.joined(raw, marked_up, budget, too_long=Defect.HTML_TOO_LONG)
    references = header.ids("references")
    if len(references) > MAX_REFERENCES:
        budget.note(Defect.TOO_MANY_REFERENCES)
    headers = tuple((name, clean_line(decode_words(value, budget))) for name, value in header.fields)
    subject, author = header.subject(), header.person("from")
    keys = OwnKeys()
    for said in (text, html, *(value for _, value in headers)):
        keys.look_in(said)
    report = kinds.report_of(header, parts, budget)
    is_bounce = report == kinds.DELIVERY_STATUS or (
        not report
        and reports.is_told_in_words(
            author=author.address if author else "",
            subject=subject,
            text=text,
            is_null_sender=is_null_sender,
            has_returned=_first(leaves, reports.RETURNED_TYPES) is not None,
        )
    )
    bounce = _bounce(raw, header, leaves, text, budget) if is_bounce else None
    calendar = _calendar(raw, leaves, budget)
    result = ParsedMail(
        status="ok",
        defects=(),
        headers=headers,
        subject=subject,
        date=header.date(),
        message_id=next(iter(header.ids("message-id")), ""),
        in_reply_to=next(iter(header.ids("in-reply-to")), ""),
        references=references[-MAX_REFERENCES:],  # the last ones are the nearest
        from_=author,
        sender=header.person("sender"),
        reply_to=header.people("reply-to"),
        to=header.people("to"),
        cc=header.people("cc"),
        text=text,
        text_truncated=text_truncated,
        html=html,
        html_truncated=html_truncated,
        html_safe=_html_safe(html, budget),
        preview=bodies.preview(text, html, is_html_first=texts[:1] == marked_up[:1]),
        attachments=bodies.described(raw, attached, html, budget, keys=keys),
        kind=kinds.kind_of(header, report=report, bounce=bounce, calendar=calendar, subject=subject),
        marks=(),
        bounce=bounce,
        mailing_list=kinds.list_of(header),
        calendar=calendar,
        api_keys=tuple(keys.api_keys),
    )
    # only now: reading all that found the defects
    status: Status = "partial" if budget.defects else "ok"
    if Defect.INTERNAL_ERROR in budget.defects:
        status = "failed"
    return replace(result, status=status, defects=budget.defects, marks=_marks(parts, attached, text, keys))


def _first(leaves: Sequence[Leaf], content_types: frozenset[str]) -> Leaf | None:
    return next((leaf for leaf in leaves if leaf.part.content_type in content_types), None)


def _html_safe(html: str, budget: Budget) -> str:
    safe = safe_html(html)
    if safe is None:
        budget.note(Defect.HTML_TOO_COMPLEX)
    return safe or ""


def _bounce(raw: bytes, header: Header, leaves: Sequence[Leaf], text: str, budget: Budget) -> Bounce:
    status, returned = _first(leaves, reports.STATUS_TYPES), _first(leaves, reports.RETURNED_TYPES)
    original = ""
    if returned:
        said, _ = bodies.beginning(raw, returned, budget, octets=reports.READ_OCTETS)
        original = reports.message_id_in(said)
    bounce = None
    if status:
        said, _ = bodies.beginning(raw, status, budget, octets=reports.READ_OCTETS)
        bounce = reports.read_report(said)
    if bounce is None:
        bounce = reports.read_words(text, failed_recipients=header.first("x-failed-recipients"))
    # Exchange may return no header, and answers the mail
    original = original or bounce.original_message_id or next(iter(header.ids("in-reply-to")), "")
    return replace(bounce, original_message_id=original)


def _calendar(raw: bytes, leaves: Sequence[Leaf], budget: Budget) -> Calendar | None:
    leaf = _first(leaves, calendars.TYPES)
    if leaf is None:
        return None
    text, is_cut = bodies.beginning(raw, leaf, budget, octets=MAX_CALENDAR_OCTETS)
    if is_cut:  # its first event may be whole
        text = f"{text[: text.rfind(_EVENT_ENDS)]}{_EVENT_ENDS}\nEND:VCALENDAR"
    return calendars.read_calendar(text, method=leaf.part.parameters.get("method", ""), budget=budget)


def _marks(parts: Sequence[Part], attached: Sequence[Leaf], text: str, keys: OwnKeys) -> tuple[str, ...]:
    marks = dict.fromkeys(kinds.marks_of(parts, text))
    if any(leaf.filename.lower() == "winmail.dat" for leaf in attached):
        marks[kinds.Mark.TNEF] = None  # of a type that says nothing
    if keys.api_keys:
        marks[kinds.Mark.API_KEY] = None
    if keys.has_webhook_secret:
        marks[kinds.Mark.WEBHOOK_SECRET] = None
    return tuple(mark.value for mark in marks)
