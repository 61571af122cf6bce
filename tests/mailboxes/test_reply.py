"""Replies as mail clients really write them."""

import time

import pytest

from mailboxes.reply import is_reply, new_text

NEW = "Thanks, that works.\n\nAda"

GMAIL = """
On Mon, Jun 1, 2026 at 10:00 AM Support Team <support@example.com> wrote:

> Try to turn it the other way.
>
> On Sun, May 31, 2026 at 9:00 AM Ada <ada@example.net> wrote:
>> It does not turn.
"""
GMAIL_WRAPPED = """
On Mon, Jun 1, 2026 at 10:00 AM Support Team of the Example Company <
support@example.com> wrote:

> Try to turn it the other way.
"""
GMAIL_GERMAN = """
Am Mo., 1. Juni 2026 um 10:00 Uhr schrieb Support <support@example.com>:

> Try to turn it the other way.
"""
GMAIL_FRENCH = """
Le lun. 1 juin 2026 à 10:00, Support <support@example.com> a écrit\xa0:

> Try to turn it the other way.
"""
GMAIL_SPANISH = """
El lun, 1 jun 2026 a las 10:00, Support (<support@example.com>) escribió:

> Try to turn it the other way.
"""
GMAIL_LONG_AGO = """
2026-06-01 10:00 GMT+02:00 Support <support@example.com>:

> Try to turn it the other way.
"""
APPLE = """
> On 1. Jun 2026, at 10:00, Support <support@example.com> wrote:
>\x20
> Try to turn it the other way.
"""
APPLE_GERMAN = """
> Am 01.06.2026 um 10:00 schrieb Support <support@example.com>:
>\x20
> Try to turn it the other way.
"""
IPHONE_WITHOUT_MARKS = """
On Jun 1, 2026, at 10:00, Support <support@example.com> wrote:

Try to turn it the other way.
"""
THUNDERBIRD = """
On 6/1/26 10:00, Support wrote:
> Try to turn it the other way.
"""
THUNDERBIRD_GERMAN = """
Am 01.06.26 um 10:00 schrieb Support:
> Try to turn it the other way.
"""
THUNDERBIRD_FRENCH = """
Le 01/06/2026 à 10:00, Support a écrit :
> Try to turn it the other way.
"""
GNUS = """
Support <support@example.com> writes:

> Try to turn it the other way.
"""
PLAIN = """
> Try to turn it the other way.
"""
OUTLOOK = """
________________________________
From: Support <support@example.com>
Sent: Monday, June 1, 2026 10:00 AM
To: Ada <ada@example.net>
Subject: RE: Broken engine

Try to turn it the other way.
"""
OUTLOOK_2010 = """
-----Original Message-----
From: Support [mailto:support@example.com]
Sent: Monday, June 1, 2026 10:00 AM
To: Ada
Cc: Grace
Subject: RE: Broken engine

Try to turn it the other way.
"""
OUTLOOK_WITHOUT_RULE = """
From: Support <support@example.com>
Date: Monday, 1 June 2026 at 10:00
To: Ada <ada@example.net>
Subject: Re: Broken engine
Try to turn it the other way.
"""
OUTLOOK_GERMAN = """
Von: Support <support@example.com>
Gesendet: Montag, 1. Juni 2026 10:00
An: Ada <ada@example.net>
Betreff: AW: Broken engine

Try to turn it the other way.
"""
OUTLOOK_FRENCH = """
De\xa0: Support <support@example.com>
Envoyé\xa0: lundi 1 juin 2026 10:00
À\xa0: Ada <ada@example.net>
Objet\xa0: RE: Broken engine

Try to turn it the other way.
"""
OUTLOOK_IN_GMAIL = """
*From:* Support <support@example.com>
*Sent:* Monday, June 1, 2026 10:00 AM
*To:* Ada
*Subject:* RE: Broken engine

Try to turn it the other way.
"""
OUTLOOK_GERMAN_SEPARATOR = """
-----Ursprüngliche Nachricht-----
Von: Support
Betreff: AW: Broken engine

Try to turn it the other way.
"""
QUOTES = {name: value for name, value in list(globals().items()) if name.isupper() and name != "NEW"}


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize("new", ["Yes.", NEW, "Two\n\nparagraphs:\n\n- a\n- b", "Grüße — 你好 🙂"])
def test_the_mail_that_is_answered_and_its_announcement_go(name: str, new: str) -> None:
    assert new_text(f"{new}\n{QUOTES[name]}") == new
    assert new_text(f"\n\n{new}\n\n{QUOTES[name]}\n\n\n") == new


@pytest.mark.parametrize("name", QUOTES)
@pytest.mark.parametrize(
    "signature", ["-- \nAda Lovelace\nAnalytical Engines", "Sent from my iPhone", "Ada\n__\n+49 30 1"]
)
def test_signatures_stay(name: str, signature: str) -> None:
    new = f"Thanks.\n\n{signature}"
    assert new_text(f"{new}\n{QUOTES[name]}") == new


def test_a_signature_below_the_quote_stays() -> None:
    assert new_text(f"{PLAIN}\nThanks.\n\n-- \nAda\n") == "Thanks.\n\n-- \nAda"


def test_answers_between_the_quoted_lines_stay_in_their_order() -> None:
    text = f"Hello,\n{THUNDERBIRD}\nWhich way is that?\n\n> And oil it.\n\nI did.\n> Yours\nAda\n"
    assert new_text(text) == "Hello,\n\n\nWhich way is that?\n\n\nI did.\n\nAda"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n\n",
        "It does not turn.\n",
        "  Indented\n\ttoo\n\n",
        "As you wrote on the 3rd:\nI will pay.\n",
        "On 3 May you wrote:\nNothing of it is true.\n",
        "Am 3. Mai schrieb ich:\nDas stimmt.\n",
        "Please note:\n1. Turn it\n2. Oil it\n",
        "Von: Berlin\nAn: Hamburg\nDatum: morgen\n\nIst noch ein Zug frei?\n",
        "From: the sea\nTo: the mountains\n",
        "________________________________\nbelow a rule\n",
        "a > b\nb < c\n",
        "The list:\n\n- one\n",
    ],
)
def test_a_text_without_a_quote_stays_as_it_is(text: str) -> None:
    assert new_text(text) == text


@pytest.mark.parametrize("quote", [OUTLOOK, OUTLOOK_2010, IPHONE_WITHOUT_MARKS, OUTLOOK_GERMAN])
def test_what_would_leave_nothing_stays_unless_it_is_marked(quote: str) -> None:
    assert new_text(quote) == quote


def test_a_reply_of_nothing_but_marked_quotes_is_empty() -> None:
    assert new_text(GMAIL) == new_text(PLAIN) == ""


@pytest.mark.parametrize(
    "subject, in_reply_to, references, expected",
    [
        ("Broken engine", "", [], False),
        ("Broken engine", "<1@example.net>", [], True),
        ("Broken engine", "", ["<1@example.net>"], True),
        ("Re: Broken engine", "", [], True),
        ("RE:Broken engine", "", [], True),
        ("Re[2]: Broken engine", "", [], True),
        ("AW: Kaputt", "", [], True),
        ("SV: Trasig", "", [], True),
        ("Réf", "", [], False),
        ("Regarding: you", "", [], False),
        ("Fwd: Broken engine", "<1@example.net>", ["<1@example.net>"], False),
        ("WG: Re: Kaputt", "<1@example.net>", [], False),
        ("TR : Panne", "<1@example.net>", [], False),
    ],
)
def test_what_a_reply_is(subject: str, in_reply_to: str, references: list[str], expected: bool) -> None:
    assert is_reply(subject=subject, in_reply_to=in_reply_to, references=references) is expected


@pytest.mark.parametrize(
    "unit",
    [
        ">", "> \n", ">\n\n", ":\n", "On 1 wrote:\n", "On 1 10:00 a@b wrote:\n\n", "On\n1\n:\n", "From:\n", "*From:*\n",
        "From: a\nSent: b\n", "-" * 99, "_" * 99 + "\n", "\n", " ", "\xa0", "Am 1 schrieb\n", "On 1 wrote:\n> a\n",
        "-----Original Message-----", "De :\nDe :\n", "a@b 1:", "On " * 40 + ":\n", "\t\n:", "x",
    ],
)  # fmt: skip
def test_the_time_is_linear(unit: str) -> None:
    text = unit * (256 * 1024 // len(unit))
    started = time.perf_counter()
    new_text(text)
    assert time.perf_counter() - started < 5  # quadratic would be minutes
