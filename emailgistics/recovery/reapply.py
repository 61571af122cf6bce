"""Applying the journal to a database that was restored: what was done since the backup and has to hold is done again.

What is a security matter, and no more: keys that ended, mail that was erased, links and webhooks that ended, people who
may do less or prove more. What was made or changed besides is lost with the restore, as docs/operations/backup.md says.
A line that this database knows, because it was made with it or was applied before, changes nothing.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.utils import timezone

from apikeys.models import ApiKey, IssuedKey
from apikeys.services import KeyEndedError, revoke_api_key, schedule_revocation
from emailgistics.common import tombstones
from emailgistics.common.access import SYSTEM_ADMINISTRATORS, Actor
from emailgistics.common.errors import RefusedError
from emailgistics.common.ids import decode_id, encode_id
from emailgistics.common.logs import get_logger
from emailgistics.common.models import JournalEntry
from emailgistics.console import passwords, sessions, two_factor
from emailgistics.console.models import RecoveryCode
from mailboxes.models import Email, Message, Refusal, Rule
from mailboxes.services import mentions, rule_book
from mailboxes.services.erase import EMAIL, ERASED, REFUSAL_ERASED, erase_refusal
from webhooks.files.links import revoke_links
from webhooks.models import Delivery, Webhook
from webhooks.services.erase import ANSWER_ERASED, erase_answer, erase_email
from webhooks.services.webhooks import delete_webhook, pause_webhook

log = get_logger(__name__)

AT_ONCE = 500
BY = "journal"
WHY = "as the journal says: done after the backup that was restored"
# of these, what is said last of a thing holds; what was taken back since is not done first
LAST_COUNTS = {
    "apikey.revocation_called_off": "apikey.revocation_scheduled",
    "webhook.resumed": "webhook.paused",
    "person.activated": "person.deactivated",
}


@dataclass(frozen=True, slots=True)
class Line:
    id: UUID
    at: datetime
    what: str
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def of(self) -> Any:
        return self.about.get("of")


@dataclass(slots=True)
class Outcome:
    """applied: lines, by what they are; changed: those of them that changed something. unknown: of another release.
    unreadable: mail that was erased, under a mark whose encryption key is not there. Both stay to be applied.
    """

    read: int = 0
    torn: int = 0
    known: int = 0
    unreadable: int = 0
    applied: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)

    @property
    def what_is_left(self) -> str:
        """Of lines that could not be applied, and what to do; empty if there are none."""
        left = ["Some lines are of a later release: upgrade, and apply the journal again."] if self.unknown else []
        if self.unreadable:
            left.append(
                f"{self.unreadable} erased mails are marked with an encryption key that is not configured: put it into "
                "ENCRYPTION_KEYS, and apply the journal again. If it is lost for good, they are here again."
            )
        return " ".join(left)


def apply(files: Sequence[Path], *, is_rehearsal: bool = False) -> Outcome:
    """The lines of all these files, each once, in the order of their times. is_rehearsal: only says what would come.

    Each line in a transaction of its own; stopped half-way, it goes on the next time. Raises OSError.
    """
    outcome = Outcome()
    lines = sorted(_fresh(files, outcome), key=lambda line: (line.at, line.id))
    overtaken = _overtaken(lines)
    erasures, keys = _erasures(lines), {None, *tombstones.prints_of_keys()}  # None: lines of before had no print
    for line in lines:
        if line.what not in APPLIERS:
            _count(outcome.unknown, line)
            continue
        if line.about.get("key") not in keys:
            outcome.unreadable += 1
            continue
        _count(outcome.applied, line)
        if is_rehearsal:
            continue
        if _apply(line, is_overtaken=line.id in overtaken, erasures=erasures):
            _count(outcome.changed, line)
    if not is_rehearsal:
        log.warning("journal.applied", applied=outcome.applied, changed=outcome.changed, unknown=outcome.unknown)
    return outcome


def _apply(line: Line, *, is_overtaken: bool, erasures: dict[str, UUID]) -> bool:
    is_changed = False
    if line.what == ERASED:
        email_id = erasures.get(line.about["mark"])
        if email_id is not None:
            erase_email(email_id, by=BY)  # a transaction of its own, and twice is as good as once
            is_changed = True
    with transaction.atomic():
        if line.what != ERASED and not is_overtaken:
            is_changed = APPLIERS[line.what](line)
        # its row: this database knows it from now on
        JournalEntry.objects.create(id=line.id, at=line.at, body={}, written_at=timezone.now())
    return is_changed


def _fresh(files: Iterable[Path], outcome: Outcome) -> Iterator[Line]:
    """What this database does not know, each line once, however many files have it."""
    seen: set[UUID] = set()
    for file in files:
        with file.open("rb") as octets:
            while some := list(islice(octets, AT_ONCE)):
                lines = [line for text in some if text.strip() and (line := _parsed(text, outcome)) is not None]
                known = set(JournalEntry.objects.filter(pk__in=[one.id for one in lines]).values_list("pk", flat=True))
                outcome.known += sum(line.id in known for line in lines)
                for line in lines:
                    if line.id not in known and line.id not in seen:
                        seen.add(line.id)
                        yield line


def _parsed(text: bytes, outcome: Outcome) -> Line | None:
    """None for a line that is no whole one: a host lost its power while it wrote, and its row wrote another one."""
    try:
        about = json.loads(text)
        at = datetime.fromisoformat(about.pop("at"))
        line = Line(UUID(about.pop("id")), at if at.tzinfo else at.replace(tzinfo=UTC), about.pop("what"), about)
    except (ValueError, KeyError, TypeError, AttributeError):
        outcome.torn += 1
        return None
    outcome.read += 1
    return line


def _overtaken(lines: Sequence[Line]) -> set[UUID]:
    last: dict[tuple[str, Any, Any], UUID] = {}
    kinds = {*LAST_COUNTS, *LAST_COUNTS.values()}
    for line in lines:
        # a person's lines of an older release, which do not say when he was made, are overtaken by any of his number
        for joined in {line.about.get("joined"), None} if line.what in kinds else ():
            last[LAST_COUNTS.get(line.what, line.what), line.of, joined] = line.id
    return {
        line.id
        for line in lines
        if line.what in kinds
        and last[LAST_COUNTS.get(line.what, line.what), line.of, line.about.get("joined")] != line.id
    }


def _erasures(lines: Iterable[Line]) -> dict[str, UUID]:
    """The emails that are here and were erased, by the mark: who has no name to look for goes over all of them."""
    wanted = {bytes.fromhex(line.about["mark"]) for line in lines if line.what == ERASED}
    found: dict[str, UUID] = {}
    ids = Email.objects.order_by().values_list("pk", flat=True).iterator(chunk_size=AT_ONCE) if wanted else iter(())
    while some := {encode_id(Email.ID_PREFIX, pk): pk for pk in islice(ids, AT_ONCE)}:
        named = tombstones.named_by(wanted, EMAIL, some.keys())
        found |= {mark.hex(): some[name] for mark, name in named.items()}
    return found


def _count(counts: dict[str, int], line: Line) -> None:
    counts[line.what] = counts.get(line.what, 0) + 1


# --- each kind: whether it changed something


def _key_was_issued(line: Line) -> bool:
    """So that no other key is ever given its identifier."""
    pk, identifier = UUID(line.about["row"]), str(line.of)
    if IssuedKey.objects.filter(identifier=identifier).exists() or IssuedKey.objects.filter(pk=pk).exists():
        return False
    IssuedKey.objects.create(pk=pk, identifier=identifier)
    return True


def _key_was_revoked(line: Line) -> bool:
    key = ApiKey.objects.not_revoked().filter(identifier=line.of).first()
    if key is not None:
        revoke_api_key(key, reason=WHY)
    return key is not None


def _key_is_to_be_revoked(line: Line) -> bool:
    key = ApiKey.objects.in_force().filter(identifier=line.of).first()
    at = datetime.fromisoformat(line.about["revoke_at"])
    if key is None or key.revoke_at == at:
        return False
    try:
        schedule_revocation(key, at=at, reason=WHY)
    except (RefusedError, KeyEndedError):  # it has come by now
        revoke_api_key(key, reason=WHY)
    return True


def _refusal_was_erased(line: Line) -> bool:
    pk = decode_id(Refusal.ID_PREFIX, str(line.of))
    if pk is None or not Refusal.objects.filter(pk=pk).exists():
        return False
    erase_refusal(pk)
    return True


def _transcript_was_erased(line: Line) -> bool:
    pk = decode_id(Message.ID_PREFIX, str(line.of))
    return pk is not None and mentions.erase_transcript(pk)


def _transcript_of_refusal_was_erased(line: Line) -> bool:
    pk = decode_id(Refusal.ID_PREFIX, str(line.of))
    return pk is not None and mentions.erase_transcript_of_refusal(pk)


def _rule_was_erased(line: Line) -> bool:
    """It had ended by then; in the backup it may be in force."""
    pk = decode_id(Rule.ID_PREFIX, str(line.of))
    rule = Rule.objects.filter(pk=pk).first() if pk else None
    if rule is None:
        return False
    if rule.deleted_at is None:
        rule_book.delete_rule(rule)
    return mentions.erase_ended_rule(rule.pk)


def _answer_was_erased(line: Line) -> bool:
    pk = decode_id(Delivery.ID_PREFIX, str(line.of))
    return pk is not None and erase_answer(pk, line.about["n"])


def _links_were_revoked(line: Line) -> bool:
    pk = decode_id(Email.ID_PREFIX, str(line.of))
    email = Email.objects.filter(pk=pk).first() if pk else None
    return email is not None and revoke_links(email) is not None


def _webhook(line: Line) -> Webhook | None:
    pk = decode_id(Webhook.ID_PREFIX, str(line.of))
    return Webhook.objects.live().select_related("alias").filter(pk=pk).first() if pk else None


def _webhook_was_deleted(line: Line) -> bool:
    webhook = _webhook(line)
    if webhook is not None:
        delete_webhook(webhook, by=Actor(BY))
    return webhook is not None


def _pausing(why: str) -> Callable[[Line], bool]:
    def pause(line: Line) -> bool:
        webhook = _webhook(line)
        if webhook is not None:
            pause_webhook(webhook, reason=why)
        return webhook is not None

    return pause


def _person(line: Line) -> User | None:
    """Of that number, who was made just then: others had it since, or have it in another installation."""
    people = User.objects.filter(pk=line.of)
    joined = line.about.get("joined")
    if joined is None:  # a line of an older release
        return people.filter(date_joined__lte=line.at).first()
    return people.filter(date_joined=datetime.fromisoformat(joined)).first()


def _person_may_not_sign_in(line: Line) -> bool:
    person = _person(line)
    if person is None or not person.is_active:
        return False
    person.is_active = False
    person.save(update_fields=["is_active"])
    sessions.end_all(person)
    return True


def _person_was_deleted(line: Line) -> bool:
    """Deactivated, without rights and password: what names them stays on record."""
    person = _person(line)
    if person is None:
        return False
    person.groups.clear()
    person.is_active = person.is_staff = person.is_superuser = False
    person.set_unusable_password()
    person.save()
    sessions.end_all(person)
    return True


def _person_lost_rights(line: Line) -> bool:
    person, taken = _person(line), list(line.about["taken"])
    if person is None or not taken:
        return False
    person.groups.remove(*Group.objects.filter(name__in=taken))
    if SYSTEM_ADMINISTRATORS in taken and person.is_superuser:
        person.is_superuser = False
        person.save(update_fields=["is_superuser"])
    return True


def _password_was_set(line: Line) -> bool:
    """The new one is lost, and the old one must not open anything: none does until somebody sets one."""
    person = _person(line)
    if person is None or not person.has_usable_password():
        return False
    person.set_unusable_password()
    person.save(update_fields=["password"])
    sessions.end_all(person)
    return True


def _two_factor_was_switched_off(line: Line) -> bool:
    person = _person(line)
    return person is not None and two_factor.switch_off(person, by=None)


def _recovery_codes_were_changed(line: Line) -> bool:
    person = _person(line)
    return person is not None and bool(RecoveryCode.objects.filter(user=person).delete()[0])


def _nothing(_line: Line) -> bool:
    return False


APPLIERS: dict[str, Callable[[Line], bool]] = {
    "apikey.created": _key_was_issued,
    "apikey.revoked": _key_was_revoked,
    "apikey.revocation_scheduled": _key_is_to_be_revoked,
    "apikey.revocation_called_off": _nothing,  # what was given back is not given back by us
    ERASED: _nothing,  # see _apply
    REFUSAL_ERASED: _refusal_was_erased,
    mentions.TRANSCRIPT_ERASED: _transcript_was_erased,
    mentions.REFUSAL_TRANSCRIPT_ERASED: _transcript_of_refusal_was_erased,
    mentions.RULE_ERASED: _rule_was_erased,
    ANSWER_ERASED: _answer_was_erased,
    "email.links_revoked": _links_were_revoked,
    "webhook.deleted": _webhook_was_deleted,
    "webhook.paused": _pausing("it was paused after the backup that was restored"),
    "webhook.resumed": _nothing,
    "webhook.secret_rotated": _pausing("its secret was rotated after the backup that was restored: rotate it again"),
    "webhook.moved_elsewhere": _pausing("its URL was changed after the backup that was restored: give it again"),
    "person.deactivated": _person_may_not_sign_in,
    "person.activated": _nothing,
    "person.deleted": _person_was_deleted,
    "person.roles_changed": _person_lost_rights,
    passwords.SET: _password_was_set,
    two_factor.OFF: _two_factor_was_switched_off,
    two_factor.CODES_CHANGED: _recovery_codes_were_changed,
}
