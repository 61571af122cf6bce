import re
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emailgistics.common.ids import decode_id, encode_id, uuid7
from mailboxes.models import Email, Mailbox

LARGEST = UUID(int=2**128 - 1)


@given(st.uuids())
def test_an_id_leads_back_to_its_uuid(value: UUID) -> None:
    text = encode_id("email", value)
    assert re.fullmatch(r"email_[0-7][0-9a-hjkmnp-tv-z]{25}", text)
    assert decode_id("email", text) == value


@given(st.uuids(), st.uuids())
def test_ids_sort_as_text_like_their_uuids(one: UUID, other: UUID) -> None:
    assert (encode_id("dom", one) < encode_id("dom", other)) == (one.int < other.int)


def test_ids_made_later_sort_later() -> None:
    made = [uuid7() for _ in range(1000)]
    assert made == sorted(made)
    assert len(set(made)) == 1000
    assert {value.version for value in made} == {7}


# the example of the TypeID specification, and its bounds
@pytest.mark.parametrize(("value", "text"), [
    (UUID("01890a5d-ac96-774b-bcce-b302099a8057"), "prefix_01h455vb4pex5vsknk084sn02q"),
    (UUID(int=0), "prefix_00000000000000000000000000"),
    (LARGEST, "prefix_7zzzzzzzzzzzzzzzzzzzzzzzzz"),
])  # fmt: skip
def test_the_suffix_is_that_of_a_typeid(value: UUID, text: str) -> None:
    assert encode_id("prefix", value) == text
    assert decode_id("prefix", text) == value


@pytest.mark.parametrize("text", [
    "", "_", "email_", "01h455vb4pex5vsknk084sn02q", "_01h455vb4pex5vsknk084sn02q", "mbx_01h455vb4pex5vsknk084sn02q",
    "EMAIL_01h455vb4pex5vsknk084sn02q", "email_01H455VB4PEX5VSKNK084SN02Q", "email_01h455vb4pex5vsknk084sn02",
    "email_01h455vb4pex5vsknk084sn02qq", "email_81h455vb4pex5vsknk084sn02q", "email_01h455vb4pex5vsknk084sn0il",
    "email_01h455vb4pex5vsknk084sn02u", "email-01h455vb4pex5vsknk084sn02q", "email_ 1h455vb4pex5vsknk084sn02q",
    "email_01h455vb4pex5vsknk084sn02\n", "email_01h455vb4pex5vsknk084sn0é2", "email__01h455vb4pex5vsknk084sn02q",
    "01890a5d-ac96-774b-bcce-b302099a8057", "email_01890a5d-ac96-774b-bcce-b302099a8057", "\0" * 32, "9" * 100_000,
])  # fmt: skip
def test_anything_else_is_no_id(text: str) -> None:
    assert decode_id("email", text) is None


def test_a_row_is_known_by_its_prefix() -> None:
    email = Email(pk=UUID("01890a5d-ac96-774b-bcce-b302099a8057"))
    assert email.public_id == str(email) == "email_01h455vb4pex5vsknk084sn02q"
    assert decode_id(Mailbox.ID_PREFIX, email.public_id) is None
