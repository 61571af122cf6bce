from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.exceptions import APIException
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from emailgistics.common.pagination import Pages
from mailboxes.models import Domain, Mailbox
from tests.factories import make_domain

pytestmark = pytest.mark.django_db


def make_rows(count: int) -> list[str]:
    """That many mailboxes; their ids, newest first."""
    domain = make_domain()
    Domain.objects.update(default_mailbox=None)
    domain.addresses.all().delete()
    Mailbox.objects.all().delete()
    made = Mailbox.objects.bulk_create(Mailbox(domain=domain, local_part=f"box{n}") for n in range(count))
    return [mailbox.public_id for mailbox in reversed(made)]


def get(rows: Any = None, **query: Any) -> tuple[list[str], dict[str, Any], str | None]:
    """The ids on the page, what is said about it, and its Link header."""
    request = Request(APIRequestFactory().get("/v1/things", query))
    pages = Pages()
    found = pages.paginate_queryset(Mailbox.objects.all() if rows is None else rows, request)
    answer = pages.get_paginated_response([row.public_id for row in found])
    return answer.data["data"], answer.data["pagination"], answer.headers.get("Link")


def follow(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


def test_the_first_page_is_the_newest_25() -> None:
    ids = make_rows(30)
    data, about, link = get()
    assert data == ids[:25]
    assert about == {
        "page": 1,
        "limit": 25,
        "total": 30,
        "total_capped": False,
        "has_more": True,
        "next": "http://127.0.0.1:8000/v1/things?page=2",
        "previous": None,
        "next_cursor": ids[24],
    }
    assert link == '<http://127.0.0.1:8000/v1/things?page=2>; rel="next"'


def test_links_keep_the_other_parameters_and_name_the_public_address(settings: Settings) -> None:
    settings.BASE_URL = "https://mail.example.com"
    make_rows(3)
    _, about, link = get(page=2, limit=1, alias_id="a&b")
    following = "https://mail.example.com/v1/things?limit=1&alias_id=a%26b&page=3"
    previous = "https://mail.example.com/v1/things?limit=1&alias_id=a%26b&page=1"
    assert (about["next"], about["previous"]) == (following, previous)
    assert link == f'<{following}>; rel="next", <{previous}>; rel="prev"'


def test_the_last_page_says_that_it_is() -> None:
    ids = make_rows(5)
    for page in (get(page=3, limit=2), get(starting_after=ids[3])):
        assert page[0] == ids[4:]
        assert (page[1]["has_more"], page[1]["next"], page[1]["next_cursor"]) == (False, None, None)
    assert get(page=1, limit=5)[1]["has_more"] is False
    beyond, about, _ = get(page=9, limit=2)
    assert (beyond, about["has_more"], about["total"]) == ([], False, 5)


def test_an_empty_list_is_a_page() -> None:
    make_rows(0)
    data, about, link = get()
    assert (data, about["total"], about["next"], about["previous"], link) == ([], 0, None, None, None)


def test_following_next_visits_everything_once_by_page_and_by_cursor() -> None:
    ids = make_rows(7)
    for query in ({"limit": "3"}, {"limit": "3", "starting_after": ids[0]}):
        seen: list[str] = []
        following: str | None = "?" + "&".join(f"{name}={value}" for name, value in query.items())
        while following:
            data, about, _ = get(**follow(following))
            seen += data
            following = about["next"]
        assert seen == (ids[1:] if "starting_after" in query else ids)


def test_following_previous_leads_back_to_the_newest() -> None:
    ids = make_rows(7)
    data, about, _ = get(limit=2, starting_after=ids[5])
    pages = []
    while about["previous"]:
        data, about, _ = get(**follow(about["previous"]))
        pages.append(data)
    assert pages == [ids[4:6], ids[2:4], ids[:2]]


def test_a_cursor_page_has_no_number_and_the_same_total() -> None:
    ids = make_rows(4)
    data, about, _ = get(limit=2, ending_before=ids[3])
    assert data == ids[1:3]
    assert (about["page"], about["total"], about["has_more"], about["next_cursor"]) == (None, 4, True, ids[2])
    nothing, about, _ = get(ending_before=ids[0])
    assert (nothing, about["has_more"], about["next"], about["previous"]) == ([], False, None, None)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "", " 1", "1e3", "x", "٣", "0x10", "9" * 5000, "NaN", "null"])
@pytest.mark.parametrize("name", ["page", "limit"])
def test_a_bad_number_is_never_a_silent_default(name: str, value: str) -> None:
    make_rows(1)
    with pytest.raises(APIException) as refusal:
        get(**{name: value})
    assert refusal.value.status_code == 400
    assert refusal.value.get_codes() == {name: "out_of_range"}


def test_a_page_has_at_most_100_rows() -> None:
    ids = make_rows(101)
    assert get(limit=100)[0] == ids[:100]
    with pytest.raises(APIException, match="from 1 to 100"):
        get(limit=101)


@pytest.mark.parametrize("query", [
    {"page": 1, "starting_after": "first"}, {"starting_after": "first", "ending_before": "first"},
    {"page": 1, "ending_before": "first"},
])  # fmt: skip
def test_only_one_place_can_be_asked_for(query: dict[str, Any]) -> None:
    [first] = make_rows(1)
    with pytest.raises(APIException, match="only one") as refusal:
        get(**{name: first if value == "first" else value for name, value in query.items()})
    assert refusal.value.status_code == 400


def test_a_cursor_is_a_place_whether_or_not_a_row_has_it(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    """So that the row may be erased between two pages, and an id that may not be seen tells nothing."""
    ids = make_rows(7)
    gone = Mailbox.objects.exclude(local_part="box3")  # the middle one
    for rows in (Mailbox.objects.all(), gone):
        with django_assert_num_queries(2):
            data, about, _ = get(rows, limit=2, starting_after=ids[3])
        assert (data, about["has_more"], about["next_cursor"]) == (ids[4:6], True, ids[5])
        data, about, _ = get(rows, limit=2, ending_before=ids[3])
        assert (data, about["has_more"], about["next_cursor"]) == (ids[1:3], True, ids[2])
    Mailbox.objects.all().delete()
    for name in ("starting_after", "ending_before"):
        data, about, _ = get(**{name: ids[3]})
        assert (data, about["has_more"], about["next"]) == ([], False, None)


def test_nothing_follows_a_page_before_a_place_where_nothing_is_any_more() -> None:
    ids = make_rows(3)
    _, about, _ = get(Mailbox.objects.exclude(local_part="box0"), ending_before=ids[2])
    assert (about["has_more"], about["next_cursor"]) == (False, None)


@pytest.mark.parametrize(
    "cursor", ["", "nonsense", "email_01jd2x8kt6n4v8r1c5w9z2b7ha", f"mbx_{'0' * 26}", f"mbx_7{'z' * 25}", "\0"]
)
@pytest.mark.parametrize("name", ["starting_after", "ending_before"])
def test_what_is_no_id_of_what_is_listed_is_no_place(name: str, cursor: str) -> None:
    make_rows(1)
    with pytest.raises(APIException, match="mbx_") as refusal:
        get(**{name: cursor})
    assert refusal.value.get_codes() == {name: ["invalid"]} or refusal.value.get_codes() == {name: "invalid"}


def test_depth_and_totals_end_at_10000_and_cursors_go_on() -> None:
    ids = make_rows(10_150)
    data, about, _ = get(page=100, limit=100)
    assert data == ids[9900:10_000]
    assert (about["total"], about["total_capped"]) == (10_000, True)
    assert follow(about["next"]) == {"limit": "100", "starting_after": ids[9999]}
    data, about, _ = get(**follow(about["next"]))
    assert data == ids[10_000:10_100]
    assert (about["total"], about["has_more"]) == (10_000, True)
    with pytest.raises(APIException, match="starting_after") as refusal:
        get(page=101, limit=100)
    assert (refusal.value.status_code, refusal.value.get_codes()) == (400, "page_too_deep")


def test_a_total_of_exactly_10000_is_not_capped() -> None:
    make_rows(10_000)
    _, about, _ = get(limit=1)
    assert (about["total"], about["total_capped"]) == (10_000, False)


@pytest.mark.parametrize("query, total", [({}, 5), ({"page": "2", "limit": "3"}, 5), ({"limit": "5"}, 5)])
def test_a_page_with_the_last_row_counts_nothing(
    django_assert_num_queries: DjangoAssertNumQueries, query: dict[str, str], total: int
) -> None:
    make_rows(5)
    with django_assert_num_queries(1):
        _, about, _ = get(**query)
    assert (about["total"], about["total_capped"], about["has_more"]) == (total, False, False)
    _, about, _ = get(page="3", limit="5")  # beyond the last row
    assert about["total"] == 5


def test_another_page_takes_few_queries_and_counts_no_more_than_it_says(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    ids = make_rows(5)
    for number, query in (
        (2, {"page": "2", "limit": "2"}),
        (2, {"starting_after": ids[1]}),
        (3, {"ending_before": ids[1]}),
    ):
        with django_assert_num_queries(number) as queries:
            get(Mailbox.objects.select_related("domain"), **query)
        [counting] = [query["sql"] for query in queries.captured_queries if "COUNT" in query["sql"]]
        assert "DESC LIMIT 10001" in counting  # in the order of an index: see RowsOf
