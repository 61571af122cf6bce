"""What rules say: what fits, which one decides, and what it costs."""

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from emailgistics.common.errors import DomainError, NotFoundError, RefusedError
from mailboxes.models import Alias, Email, Mailbox, Refusal, Rule
from mailboxes.services import admit, provision, rule_book, rules
from mailboxes.services.admit import Admission, Request, admit_all, judged_by_size
from mailboxes.services.envelope import Envelope, Source
from mailboxes.services.receive import receive_message
from mailboxes.services.rules import BlockedByRuleError, Case, Verdict
from tests.factories import RAW, make_alias, make_mailbox

pytestmark = pytest.mark.django_db

TO = "help@example.com"


def envelope(*, mail_from: str = "ada@mail.example.net", client_ip: str | None = "192.0.2.7") -> Envelope:
    return Envelope(mail_from=mail_from, client_ip=client_ip)


@pytest.fixture
def alias() -> Alias:
    """help@example.com leads to support@example.com."""
    return make_alias()


def make_rule(action: str, criterion: str, value: str, **others: Any) -> Rule:
    return rule_book.create_rule(action=action, criterion=criterion, value=value, **others)


def verdict_of(envelope: Envelope, *, size: int | None = None, to: str = TO) -> Verdict:
    (answer,) = admit_all([Request(to, envelope, size)])
    if isinstance(answer, BlockedByRuleError):
        return Verdict(Rule.Action.BLOCK, answer.rule_id, answer.reason)
    assert isinstance(answer, Admission)
    (verdict,) = answer.verdicts
    return verdict


# --- what fits

FITS = [
    ("sender", "ada@mail.example.net", envelope(), None, True),
    ("sender", "ada@mail.example.net", envelope(mail_from="ADA@Mail.Example.Net."), None, True),
    ("sender", '"ada"@mail.example.net', envelope(), None, True),
    ("sender", "ada@example.net", envelope(), None, False),
    ("sender", "ada@mail.example.net", envelope(mail_from="ada+x@mail.example.net"), None, False),
    ("sender", "ada@mail.example.net", envelope(mail_from=""), None, False),
    ("sender", "", envelope(mail_from=""), None, True),
    ("sender", "", envelope(), None, False),
    ("sender_domain", "mail.example.net", envelope(), None, True),
    ("sender_domain", "example.net", envelope(), None, True),
    ("sender_domain", "net", envelope(), None, True),
    ("sender_domain", "example.net", envelope(mail_from="a@notexample.net"), None, False),
    ("sender_domain", "sub.mail.example.net", envelope(), None, False),
    ("sender_domain", "example.net", envelope(mail_from=""), None, False),
    ("sender_domain", "bücher.example", envelope(mail_from="a@xn--bcher-kva.example"), None, True),
    ("sender_domain", "bücher.example", envelope(mail_from="a@BÜCHER.example"), None, True),
    ("network", "192.0.2.0/24", envelope(), None, True),
    ("network", "192.0.2.7", envelope(), None, True),
    ("network", "192.0.2.8", envelope(), None, False),
    ("network", "192.0.2.0/24", envelope(client_ip="::ffff:192.0.2.7"), None, True),
    ("network", "::ffff:192.0.2.0/120", envelope(), None, True),
    ("network", "0.0.0.0/0", envelope(), None, True),
    ("network", "::/0", envelope(), None, False),
    ("network", "0.0.0.0/0", envelope(client_ip=None), None, False),
    ("network", "2001:db8::/29", envelope(client_ip="2001:db8:1::1"), None, True),
    ("network", "2001:db8::/32", envelope(client_ip="2001:db9::1"), None, False),
    ("size", "1000", envelope(), 1001, True),
    ("size", "1000", envelope(), 1000, False),
    ("size", "1000", envelope(), None, False),
    ("size", "0", envelope(), 1, True),
    ("attachment", "*/*", envelope(), 1, False),
]


@pytest.mark.parametrize("criterion, value, of, size, fits", FITS)
def test_a_rule_fits_what_it_is_about_and_nothing_else(
    alias: Alias, criterion: str, value: str, of: Envelope, size: int | None, fits: bool
) -> None:
    rule = make_rule("quarantine", criterion, value, mailbox=alias.mailbox)
    verdict = verdict_of(of, size=size)
    assert (verdict.action, verdict.rule_id) == (("quarantine", rule.pk) if fits else ("allow", None))


# --- which one decides


def scopes(alias: Alias) -> dict[str, dict[str, Any]]:
    return {
        "alias": {"alias": alias}, "mailbox": {"mailbox": alias.mailbox}, "domain": {"domain": alias.domain},
        "everywhere": {},
    }  # fmt: skip


SCOPES = ("alias", "mailbox", "domain", "everywhere")
# each before the next
PARTICULAR = (
    ("sender", "ada@mail.example.net"), ("sender_domain", "mail.example.net"), ("sender_domain", "example.net"),
    ("sender_domain", "net"), ("network", "192.0.2.7"), ("network", "192.0.2.0/24"), ("network", "0.0.0.0/0"),
    ("size", "900"), ("size", "5"), ("size", "0"),
)  # fmt: skip
ACTIONS = ("allow", "block", "discard", "quarantine")


@pytest.mark.parametrize("wide", range(1, len(SCOPES)))
@pytest.mark.parametrize("narrow", range(len(SCOPES) - 1))
def test_the_narrowest_scope_decides_whatever_the_wider_one_says(alias: Alias, narrow: int, wide: int) -> None:
    if narrow >= wide:
        narrow, wide = wide, narrow
    if narrow == wide:
        return
    make_rule("allow", "sender", "ada@mail.example.net", **scopes(alias)[SCOPES[wide]])
    decides = make_rule("block", "size", "5", **scopes(alias)[SCOPES[narrow]])
    verdict = verdict_of(envelope(), size=1000)
    assert (verdict.action, verdict.rule_id) == ("block", decides.pk)


@pytest.mark.parametrize("first", range(len(PARTICULAR) - 1))
def test_within_a_scope_the_more_particular_criterion_decides(alias: Alias, first: int) -> None:
    for criterion, value in reversed(PARTICULAR[first + 1 :]):
        make_rule("allow", criterion, value, mailbox=alias.mailbox)
    decides = make_rule("quarantine", *PARTICULAR[first], mailbox=alias.mailbox)
    assert verdict_of(envelope(), size=1000).rule_id == decides.pk


@pytest.mark.parametrize("first", range(len(ACTIONS)))
def test_of_rules_that_are_alike_the_milder_word_for_the_sender_decides_then_the_oldest(
    alias: Alias, first: int
) -> None:
    for action in reversed(ACTIONS[first + 1 :]):
        make_rule(action, "sender", "ada@mail.example.net")
    oldest, _ = (make_rule(ACTIONS[first], "sender", "ada@mail.example.net") for _ in range(2))
    verdict = verdict_of(envelope())
    assert (verdict.action, verdict.rule_id) == (ACTIONS[first], oldest.pk)


def test_a_rule_is_for_what_it_names_and_for_nothing_beside(alias: Alias) -> None:
    sales = make_mailbox(address="sales@example.com")
    other = make_alias(address="other@example.com", mailbox=alias.mailbox)
    make_mailbox(address="box@example.org")
    rule = make_rule("quarantine", "sender_domain", "net", alias=alias)
    assert verdict_of(envelope()).rule_id == rule.pk
    for to in (other.address, "support@example.com", sales.address, "box@example.org"):
        assert verdict_of(envelope(), to=to) == rules.TAKE
    of_mailbox = make_rule("quarantine", "sender_domain", "net", mailbox=alias.mailbox)
    assert [verdict_of(envelope(), to=to).rule_id for to in (TO, other.address, "support+a@example.com")] == [
        rule.pk, of_mailbox.pk, of_mailbox.pk,
    ]  # fmt: skip
    assert verdict_of(envelope(), to=sales.address) == rules.TAKE
    of_domain = make_rule("quarantine", "sender_domain", "net", domain=alias.domain)
    assert verdict_of(envelope(), to=sales.address).rule_id == of_domain.pk
    assert verdict_of(envelope(), to="box@example.org") == rules.TAKE


def test_the_domain_is_that_of_the_recipient_not_of_the_mailbox_it_leads_to() -> None:
    mailbox = make_mailbox(address="box@example.org")
    alias = make_alias(address="help@example.com", mailbox=mailbox)
    make_rule("discard", "sender_domain", "net", domain=mailbox.domain)
    assert verdict_of(envelope()) == rules.TAKE
    rule = make_rule("quarantine", "sender_domain", "net", domain=alias.domain)
    assert verdict_of(envelope()).rule_id == rule.pk


def test_what_is_disabled_or_deleted_says_nothing(alias: Alias) -> None:
    rule = make_rule("block", "sender_domain", "net", mailbox=alias.mailbox)
    assert verdict_of(envelope()).action == "block"
    rule_book.update_rule(rule, is_active=False)
    assert verdict_of(envelope()) == rules.TAKE
    rule_book.update_rule(rule, is_active=True)
    rule_book.delete_rule(rule)
    assert verdict_of(envelope()) == rules.TAKE
    with pytest.raises(NotFoundError):
        rule_book.delete_rule(rule)
    with pytest.raises(NotFoundError):
        rule_book.update_rule(rule, is_active=False)


def test_the_reason_names_the_rule_and_is_part_of_the_explanation(alias: Alias) -> None:
    rule = make_rule("quarantine", "sender", "", alias=alias)
    (answer,) = admit_all([Request(TO, envelope(mail_from=""))])
    assert isinstance(answer, Admission)
    reason = f"{rule.public_id} for this alias keeps it back: sender <>"
    assert (answer.verdicts[0].reason, answer.route.explanation[-1]) == (reason, reason)
    blocks = make_rule("block", "sender", "", alias=alias)
    (refused,) = admit_all([Request(TO, envelope(mail_from=""))])
    assert isinstance(refused, BlockedByRuleError)
    assert (refused.rule_id, refused.code) == (blocks.pk, "blocked_by_rule")
    assert blocks.public_id in refused.reason
    assert "rule_" not in refused.message
    longest = make_rule("quarantine", "sender", f"{'a' * 60}@{'b' * 60}.{'c' * 60}.{'d' * 60}.net", alias=alias)
    assert len(verdict_of(envelope(mail_from=longest.value)).reason) <= 400


# --- what it costs


@pytest.fixture
def queries() -> Any:
    def count(cases: list[Case]) -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            rules.judge(cases)
        return [one["sql"] for one in captured]

    return count


def cases_of(count: int) -> list[Case]:
    (admission,) = admit_all([Request(TO, envelope())])
    assert isinstance(admission, Admission)
    return [
        Case(admission.route, envelope(mail_from=f"a{n}@d{n}.example", client_ip=f"2001:db8::{n:x}"), n)
        for n in range(count)
    ]


@pytest.mark.parametrize("rules_there, expected", [(0, 1), (10_000, 2)])
@pytest.mark.parametrize("cases", [1, 100])
def test_many_recipients_and_many_rules_take_two_queries_and_no_rules_one(
    alias: Alias, queries: Any, rules_there: int, expected: int, cases: int
) -> None:
    make_many(rules_there, alias.mailbox)
    assert len(queries(cases_of(cases))) == expected


def test_no_recipient_no_query(alias: Alias, queries: Any) -> None:
    assert queries([]) == []


def make_many(count: int, mailbox: Mailbox) -> None:
    Rule.objects.bulk_create(
        Rule(
            action="block",
            criterion=("sender", "sender_domain", "network")[n % 3],
            value=(f"spam{n}@example.net", f"spam{n}.example.net", f"2001:db8:{n:x}::/48")[n % 3],
            mailbox=mailbox if n % 2 else None,
        )
        for n in range(count)
    )


def test_of_ten_thousand_rules_only_those_that_may_fit_are_read(alias: Alias, monkeypatch: pytest.MonkeyPatch) -> None:
    make_many(10_000, alias.mailbox)
    fitting = make_rule("quarantine", "sender_domain", "mail.example.net", mailbox=alias.mailbox)
    read: list[object] = []
    found = rules.Found
    monkeypatch.setattr(rules, "Found", lambda *row: read.append(row) or found(*row))
    assert verdict_of(envelope()).rule_id == fitting.pk
    assert len(read) == 1


@pytest.mark.on_both
def test_ten_thousand_rules_are_found_by_an_index(alias: Alias) -> None:
    make_many(10_000, alias.mailbox)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as captured:
        verdict_of(envelope())
    with connection.cursor() as cursor:
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        cursor.execute(f"{explain} {captured[-1]['sql']}")
        plan = "\n".join(str(row) for row in cursor.fetchall())
    assert "rule_by_value" in plan
    assert "Seq Scan" not in plan
    assert "SCAN mailboxes_rule'" not in plan


def test_rules_about_sizes_are_few_for_one_scope(alias: Alias) -> None:
    for n in range(rules.MAX_SIZE_RULES):
        make_rule("quarantine", "size", str(n), mailbox=alias.mailbox)
    with pytest.raises(RefusedError, match="20 active rules about sizes"):
        make_rule("quarantine", "size", "1", mailbox=alias.mailbox)
    idle = make_rule("quarantine", "size", "1", mailbox=alias.mailbox, is_active=False)
    with pytest.raises(RefusedError, match="20 active rules about sizes"):
        rule_book.update_rule(idle, is_active=True)
    make_rule("quarantine", "size", "1")
    make_rule("quarantine", "sender", "a@example.net", mailbox=alias.mailbox)


# --- the true size


def admitted(*to: str, source: Source = Source.SMTP, size: int | None = None) -> tuple[list[Admission], Envelope]:
    of = Envelope(mail_from="ada@mail.example.net", client_ip="192.0.2.7", source=source)
    found = admit_all([Request(address, of, size) for address in to])
    assert all(isinstance(one, Admission) for one in found)
    return [one for one in found if isinstance(one, Admission)], of


def actions(answers: list[Admission | DomainError]) -> list[Any]:
    return [
        [str(verdict.action) for verdict in one.verdicts] if isinstance(one, Admission) else one.code for one in answers
    ]


@pytest.mark.parametrize("source", list(Source))
def test_without_rules_about_sizes_nobody_asks_again(alias: Alias, source: Source) -> None:
    make_rule("quarantine", "sender_domain", "net")
    make_rule("block", "size", "5", mailbox=make_mailbox(address="other@example.com"))
    admissions, of = admitted(TO, source=source)
    with CaptureQueriesContext(connection) as queries:
        assert judged_by_size(admissions, envelope=of, size=1000) == admissions
    assert len(queries) == 0


@pytest.mark.parametrize(
    "source, expected",
    [
        (
            Source.SMTP,
            ["quarantine"],
        ),
        (Source.LMTP, "blocked_by_rule"),
        (Source.PIPE, "blocked_by_rule"),
        (Source.API, "blocked_by_rule"),
    ],
)
def test_of_several_recipients_one_alone_is_refused_only_where_each_has_an_answer(
    alias: Alias, source: Source, expected: Any
) -> None:
    make_mailbox(address="sales@example.com")
    rule = make_rule("block", "size", "5", alias=alias)
    admissions, of = admitted(TO, "sales@example.com", source=source)
    answers = judged_by_size(admissions, envelope=of, size=1000)
    assert actions(answers) == [expected, ["allow"]]
    if source == Source.SMTP:
        assert isinstance(answers[0], Admission)
        assert answers[0].verdicts[0].rule_id == rule.pk
        assert rule.public_id in answers[0].route.explanation[-1]


@pytest.mark.parametrize("source", list(Source))
def test_what_all_block_is_refused(alias: Alias, source: Source) -> None:
    make_rule("block", "size", "5", mailbox=alias.mailbox)
    admissions, of = admitted(TO, "support@example.com", source=source)
    assert actions(judged_by_size(admissions, envelope=of, size=6)) == ["blocked_by_rule"] * 2
    assert actions(judged_by_size(admissions, envelope=of, size=5)) == [["allow"]] * 2


def test_a_true_size_other_than_the_declared_one_counts(alias: Alias) -> None:
    make_rule("quarantine", "size", "500", mailbox=alias.mailbox)
    admissions, of = admitted(TO, size=1000)
    assert actions([*admissions]) == [["quarantine"]]
    (answer,) = judged_by_size(admissions, envelope=of, size=400)
    assert isinstance(answer, Admission)
    assert answer.verdicts == (rules.TAKE,)
    assert not any("keeps it back" in step for step in answer.route.explanation)
    (answer,) = judged_by_size(admissions, envelope=of, size=501)
    assert isinstance(answer, Admission)
    assert sum("keeps it back" in step for step in answer.route.explanation) == 1


def test_a_mailbox_that_blocked_at_rcpt_beside_another_still_does_after_data(alias: Alias) -> None:
    """The alias leads to two: what one of them blocked then is a refusal of its own, not mail that is kept back."""
    second = make_mailbox(address="second@example.com")
    alias.further_mailboxes.add(second)
    make_rule("block", "sender_domain", "net", mailbox=second)
    make_rule("quarantine", "size", "5", mailbox=alias.mailbox)
    (found,) = admit_all([Request(TO, envelope())])
    assert isinstance(found, Admission)
    if len(found.route.mailbox_ids) == 1:  # routing has no further mailboxes yet
        route = admit.replace(found.route, mailbox_ids=(alias.mailbox_id, second.pk))
        (judgement,) = rules.judge([Case(route, envelope(), None)])
        found = Admission(route, judgement.verdicts, judgement.depends_on_size)
    assert actions(judged_by_size([found], envelope=envelope(), size=6)) == [["quarantine", "block"]]


def test_what_a_rule_says_is_stored_with_the_mail(alias: Alias) -> None:
    kept = make_rule("quarantine", "sender_domain", "net", mailbox=alias.mailbox)
    thrown = make_rule("discard", "sender_domain", "net", mailbox=make_mailbox(address="sales@example.com"))
    admissions, of = admitted(TO, "sales@example.com")
    receive_message(envelope=of, admissions=admissions, raw=RAW)
    email = Email.objects.get()
    assert (email.quarantine_rule, email.status) == (kept, "waiting")
    assert email.recipients.get().explanation[-1] == email.quarantine_reason
    refusal = Refusal.objects.get()
    assert (refusal.rule, refusal.outcome, refusal.code) == (thrown, "discarded", "rule")


# --- making them


def test_a_rule_ends_with_what_it_is_for(alias: Alias) -> None:
    other = make_alias(address="other@example.com", mailbox=make_mailbox(address="box@example.org"))
    kept = make_rule("block", "sender", "a@example.net")
    of = {
        "alias": make_rule("block", "sender", "a@example.net", alias=alias),
        "mailbox": make_rule("block", "sender", "a@example.net", mailbox=alias.mailbox),
        "domain": make_rule("block", "sender", "a@example.net", domain=alias.domain),
        "other": make_rule("block", "sender", "a@example.net", alias=other),
    }
    assert set(Rule.objects.live()) == {kept, *of.values()}
    provision.delete_alias(alias)
    assert set(Rule.objects.live()) == {kept, of["mailbox"], of["domain"], of["other"]}
    provision.delete_mailbox(alias.mailbox)
    assert set(Rule.objects.live()) == {kept, of["domain"], of["other"]}
    provision.delete_domain(alias.domain)
    assert set(Rule.objects.live()) == {kept}
    assert Rule.objects.filter(deleted_at=None).get() == kept


def test_a_rule_is_not_made_for_what_was_deleted_meanwhile(alias: Alias) -> None:
    mailbox = alias.mailbox
    provision.delete_alias(Alias.objects.get())
    with pytest.raises(RefusedError, match="is deleted"):
        make_rule("block", "sender", "a@example.net", alias=alias)
    provision.delete_mailbox(Mailbox.objects.get(pk=mailbox.pk))
    with pytest.raises(RefusedError, match="is deleted"):
        make_rule("block", "sender", "a@example.net", mailbox=mailbox)
    assert not Rule.objects.exists()


def test_a_rule_is_for_one_thing(alias: Alias) -> None:
    with pytest.raises(RefusedError, match="one domain, one mailbox, one alias"):
        make_rule("block", "sender", "a@example.net", alias=alias, mailbox=alias.mailbox)


@pytest.mark.parametrize("field", ["action", "criterion"])
def test_what_is_no_choice_is_refused_with_the_choices(field: str) -> None:
    given = {"action": "block", "criterion": "sender", "value": "a@example.net"} | {field: "reject"}
    with pytest.raises(RefusedError, match=f"“reject” is no {field}; there is") as refused:
        rule_book.create_rule(**given)
    assert refused.value.field == field


def test_a_change_leaves_what_it_does_not_name_and_the_value_fits_the_criterion() -> None:
    rule = make_rule("block", "sender", "a@example.net", description="x")
    rule_book.update_rule(rule, action="discard")
    rule_book.update_rule(rule, criterion="sender_domain", value="Example.NET")
    with pytest.raises(RefusedError, match="is not a network"):
        rule_book.update_rule(rule, criterion="network")
    rule.refresh_from_db()
    stored = (rule.action, rule.criterion, rule.value, rule.description, rule.is_active)
    assert stored == ("discard", "sender_domain", "example.net", "x", True)


def test_blocking_a_sender_twice_is_one_rule(alias: Alias) -> None:
    rule, is_new = rule_book.block_sender("Ada@Mail.example.net", mailbox=alias.mailbox)
    again, is_new_again = rule_book.block_sender("ada@mail.example.net", mailbox=alias.mailbox)
    assert (again, is_new, is_new_again) == (rule, True, False)
    assert verdict_of(envelope()).rule_id == rule.pk
    everywhere, _ = rule_book.block_sender("ada@mail.example.net", mailbox=None)
    assert everywhere != rule
