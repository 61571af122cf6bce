"""What a list with nothing in it says: each says what would be there, and leads to where it is made."""

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from emailgistics.console.templatetags.empty_lists import NOTHING
from tests.factories import make_domain

# never empty: whoever looks is in it, or it comes with the installation
NEVER_EMPTY = {"auth.user", "auth.group"}
OF_AN_EVENT = {"webhooks.eventbody"}  # reached from its event, never looked for by itself
OF_ITS_OWN = {"mailboxes.email"}  # its page is no list of Django's, and says it itself


def test_every_list_says_something_of_its_own() -> None:
    listed = {model._meta.label_lower for model in admin.site._registry}
    assert set(NOTHING) == listed - NEVER_EMPTY - OF_AN_EVENT - OF_ITS_OWN
    assert len({str(one.text) for one in NOTHING.values()}) == len(NOTHING)


@pytest.mark.parametrize("label", NOTHING)
def test_an_empty_list_says_what_to_do(label: str, administrator: Client) -> None:
    nothing = NOTHING[label]
    page = reverse(f"admin:{label.replace('.', '_')}_changelist")
    answer = administrator.get(page)
    if answer.context["cl"].result_count:
        pytest.skip("something is in it from the start")
    text = answer.content.decode()
    assert str(nothing.text).replace("'", "&#x27;") in text or str(nothing.text) in text
    if nothing.href:
        assert f'href="{nothing.href}"' in text
        assert administrator.get(nothing.href).status_code == 200


def test_nothing_found_is_told_apart_from_nothing_there(administrator: Client) -> None:
    make_domain()
    text = administrator.get(reverse("admin:mailboxes_domain_changelist"), {"q": "elsewhere"}).content.decode()
    assert "Nothing fits what you searched for and the filters." in text
    assert "Show all domains" in text
    assert str(NOTHING["mailboxes.domain"].text) not in text
