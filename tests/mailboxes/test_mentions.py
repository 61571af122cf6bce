"""An address in others' mail: found as it is written there, and no other one."""

import pytest

from mailboxes.models import Email, Refusal, Rule, Transcript
from mailboxes.services import mentions, rule_book
from mailboxes.services.mentions import ERASED, Mention
from tests.factories import make_email, make_mailbox

HEAD = b"From: grace@example.org\r\nTo: support@example.com\r\n"


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.net", "<ADA@Example.Net>", "Ask ada@example.net.", "mailto:ada@example.net?subject=x",
        "ada@example.net, grace@example.org", '"ada@example.net"', "ada@example.net\nHello",
        ["x", {"a": "ada@example.net"}], "https://example.org/?to=ada%40example.net&x=1", "%3CADA%40example.net%3e",
    ],
)  # fmt: skip
def test_it_is_found_wherever_it_stands(text: object) -> None:
    assert Mention("Ada@Example.net").is_in(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "nada@example.net", "x.ada@example.net", "x+ada@example.net", "ada@example.network", "ada@example.net.au",
        "ada@example.net-work.org", "ada at example.net", ["ada", "@example.net"], 7, None,
        "x%2Bada%40example.net", "x%2eada%40example.net",
    ],
)  # fmt: skip
def test_another_one_is_none(text: object) -> None:
    assert not Mention("ada@example.net").is_in(text)


def test_a_domain_is_found_in_its_own_letters_and_in_ascii() -> None:
    for asked in ("jörg@münchen.example", "jörg@xn--mnchen-3ya.example"):
        for written in ("Jörg@MÜNCHEN.example", "jörg@xn--mnchen-3ya.example"):
            assert Mention(asked).is_in(written)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "raw",
    [
        HEAD + b"Cc: Ada <ADA@example.net>\r\n\r\nHello\r\n",
        HEAD + b"Reply-To: ada@example.net\r\n\r\nHello\r\n",
        HEAD + b"X-About: ada@example.net\r\n\r\nHello\r\n",
        HEAD + "X-About: für Grüße: ada@example.net\r\n\r\nHello\r\n".encode(),
        HEAD + b"Subject: =?utf-8?B?YWRhQGV4YW1wbGUubmV0?=\r\n\r\nHello\r\n",
        HEAD + b"Content-Type: text/html\r\n\r\n<p>ada&#64;example.net</p>\r\n",
        HEAD + b"Content-Transfer-Encoding: quoted-printable\r\n\r\nada=40exam=\r\nple.net\r\n",
        HEAD + b"Content-Type: text/html\r\n\r\n<a href='https://example.org/?to=ada%40example.net'>Leave</a>\r\n",
        HEAD + b"Content-Disposition: attachment; filename=ada@example.net.pdf\r\n\r\nHello\r\n",
    ],
)
def test_mail_of_others_is_found_by_what_it_says(raw: bytes) -> None:
    make_mailbox()
    found, other = make_email(raw=raw), make_email(raw=HEAD + b"Subject: nada@example.net\r\n\r\nHello\r\n")
    assert mentions.emails_mentioning("ada@example.net") == {found.pk}
    assert Email.objects.filter(pk=other.pk).exists()


@pytest.mark.django_db
def test_mail_that_could_not_be_opened_is_found_by_its_octets() -> None:
    make_mailbox()
    email = make_email(raw=b"\r\nada@example.net\r\n")
    email.content.delete()
    assert mentions.emails_mentioning("ada@example.net") == set()
    type(email.message).objects.update(state="parked")
    assert mentions.emails_mentioning("ada@example.net") == {email.pk}


@pytest.mark.django_db
def test_transcripts_go_and_rules_are_named_until_they_end() -> None:
    mailbox = make_mailbox()
    first, second = make_email(), make_email()
    for email, said in ((first, "ada@example.net"), (second, "grace@example.org")):
        Transcript.objects.update_or_create(message=email.message, defaults={"lines": [[1, "C", f"RCPT TO:<{said}>"]]})
    refusal = {"source": "smtp", "reply": "550 no", "code": "unknown_recipient", "at": first.received_at}
    Refusal.objects.create(**refusal, transcript=[[1, "C", "MAIL FROM:<ada@example.net>"]])
    assert mentions.erase_from_transcripts("ada@example.net") == 2
    assert list(Transcript.objects.values_list("message", flat=True)) == [second.message_id]
    assert Refusal.objects.get().transcript == []

    rule, _ = rule_book.block_sender("ada@example.net", mailbox=mailbox)
    assert mentions.rules_naming("ada@example.net") == [rule]
    rule_book.delete_rule(rule)
    mentions.erase_from_ended_rules("ada@example.net")
    assert mentions.rules_naming("ada@example.net") == []
    assert Rule.objects.get().value == ERASED


@pytest.mark.django_db
def test_letters_of_other_scripts_are_found_in_what_is_stored_as_json() -> None:
    make_mailbox()
    email = make_email(raw=HEAD + "Cc: jörg@münchen.example\r\n\r\nHello\r\n".encode())
    assert mentions.emails_mentioning("jörg@xn--mnchen-3ya.example") == {email.pk}
