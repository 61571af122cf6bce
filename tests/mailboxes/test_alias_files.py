import csv
import io
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emailgistics.common.errors import DomainError
from mailboxes.models import Address, Alias, Mailbox
from mailboxes.services import alias_files, alias_imports, provision
from mailboxes.services.alias_files import AliasFile, FileError, Line
from tests.factories import make_alias, make_domain, make_mailbox

pytestmark = pytest.mark.django_db

HEAD = ",".join(alias_files.COLUMNS)
TEXTS = st.text(
    st.one_of(st.sampled_from("=+-@'\",;\r\n\t *?/abc\u00a0\uff1d"), st.characters(exclude_categories=["Cs"])),
    max_size=12,
)


def stored() -> list[tuple[Any, ...]]:
    rows = Alias.objects.live().with_copies().select_related("domain").order_by("domain__name", "name")
    return [
        (row.address, row.kind, row.mailbox_id, [copy.mailbox_id for copy in row.copies.all()], row.priority,
         row.description, row.is_active)
        for row in rows
    ]  # fmt: skip


def exported() -> bytes:
    rows = Alias.objects.live().select_related("domain", "mailbox__domain").prefetch_related("copies__mailbox__domain")
    return b"".join(alias_files.written(rows.order_by("pk")))


def imported(octets: bytes, administrator: Any) -> tuple[int, int, int, int]:
    job = alias_imports.begin(alias_files.read(octets), name="aliases.csv", by=administrator)
    alias_imports.work_for(job, at_most_s=60)
    alias_imports.confirm(job, by=administrator, address=None)
    alias_imports.work_for(job, at_most_s=60)
    return job.created, job.changed, job.unchanged, job.failed


@pytest.fixture
def two() -> list[Mailbox]:
    return [make_mailbox(), make_mailbox(address="=cmd@example.com")]


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(names=st.lists(TEXTS, max_size=4), description=TEXTS, priority=st.integers(0, 32767), is_active=st.booleans())
def test_what_was_exported_is_imported_as_the_same(
    names: list[str], description: str, priority: int, is_active: bool, two: list[Mailbox], admin_user: Any
) -> None:
    forget_aliases()
    first, second = two
    provision.create_alias(address="*@example.com", mailbox=second, is_active=False)
    provision.create_alias(address="sales-*@example.com", mailbox=first, priority=priority)
    provision.create_alias(address="/[0-9]+/@example.com", mailbox=first)
    plus = {"mailbox": first, "further_mailboxes": [second], "is_active": is_active}
    provision.create_alias(address="=1+tag@example.com", **plus)
    for name in names:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        with suppress(DomainError):
            address = f'"{quoted}"@example.com'
            provision.create_alias(address=address, mailbox=second, description=description, is_active=is_active)
    before, octets = stored(), exported()
    assert imported(octets, admin_user) == (0, 0, len(before), 0)
    assert stored() == before
    forget_aliases()
    assert imported(octets, admin_user) == (len(before), 0, 0, 0)
    assert stored() == before


def forget_aliases() -> None:
    Address.objects.exclude(alias=None).delete()
    Alias.objects.all().delete()


def test_no_cell_of_an_export_is_run_by_a_spreadsheet() -> None:
    make_alias(address="=cmd@example.com")
    Alias.objects.update(description="\t=HYPERLINK(1)")
    [_, cells] = csv.reader(io.StringIO(exported().decode("utf-8-sig"), newline=""))
    assert cells == ["'=cmd@example.com", "support@example.com", "", "yes", "100", "'\t=HYPERLINK(1)"]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("start", ["", "\ufeff", "\ufeffsep=;\r\n"])
def test_delimiters_ends_of_lines_and_byte_order_marks_are_understood(delimiter: str, newline: str, start: str) -> None:
    lines = ["Address,Description", 'a@example.com,"one\ntwo"', ",", "b@example.com,'=1"]
    text = start + newline.join(lines).replace(",", delimiter)
    file = alias_files.read(text.encode())
    at = 1 + start.count("sep")
    assert file == AliasFile(
        ["address", "description"],
        [Line(at + 1, ["a@example.com", "one\ntwo"]), Line(at + 4, ["b@example.com", "=1"])],
    )


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"", "The first line names the columns"),
        (b"mailbox\nx", "one is address"),
        (b"address,colour\na,b", "There is no column “colour”"),
        (b"address,address\na,b", "twice"),
        (b"address\n", "nothing to import"),
        (b"address\nok@example.com\n\xff@example.com", "Line 3 is not in UTF-8"),
        ("address\na".encode("utf-16"), "UTF-16"),
        (b"address\n" + b"x" * 200_000, "Line 2 cannot be read"),
    ],
)
def test_what_is_no_such_file_is_refused_with_what_to_do(octets: bytes, said: str) -> None:
    with pytest.raises(FileError, match=said):
        alias_files.read(octets)


def test_files_have_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_files, "MAX_LINES", 2)
    alias_files.read(b"address\na@example.com\nb@example.com")
    with pytest.raises(FileError, match="more than 2 lines"):
        alias_files.read(b"address\na@example.com\nb@example.com\nc@example.com")
    monkeypatch.setattr(alias_files, "MAX_FILE_BYTES", 10)
    with pytest.raises(FileError, match="split it"):
        alias_files.read(b"address\na@example.com")


def test_faults_of_form_are_told_with_line_and_column() -> None:
    make_domain()
    lines = [HEAD, "a@example.com,b", "a@example.com,,,,,\0", "x@example.com,,,,,", '"X"@example.com,,,,,']
    file = alias_files.read("\n".join(lines).encode())
    faults = [(line.number, line.fault and line.fault[0]) for line in file.lines]
    assert faults == [(2, ""), (3, "description"), (4, None), (5, "address")]
    assert "line 4" in str(file.lines[3].fault)
