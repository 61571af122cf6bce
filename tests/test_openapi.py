"""The OpenAPI document: in docs/ as the code makes it, whole, and true of what goes over the wire."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any
from unittest import mock
from unittest.mock import Mock

import jsonschema
import pytest
import yaml
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiYamlRenderer
from drf_spectacular.validation import validate_schema

from apikeys.credentials import new_key
from apikeys.permissions import _actions
from apikeys.services import change_plan, revoke_api_key
from emailgistics.common import idempotency
from emailgistics.common.access import Scope
from emailgistics.common.bodies import MAX_DEPTH
from emailgistics.common.requests import MAX_BODY_BYTES
from emailgistics.docs import events, schema, texts
from mailboxes.models import Domain, Email, Mailbox, Rule
from mailboxes.services import dns_records, process, receive, rules
from mailboxes.services.rules import Judgement, Verdict
from tests.apikeys.factories import client_of, make_client, make_expired_key, make_key
from tests.factories import RAW, make_alias, make_delivery, make_domain, make_mailbox, make_message, make_webhook
from webhooks import retry, samples, transport
from webhooks.models import Delivery, EventBody, Webhook
from webhooks.signing import TOLERANCE_S, headers

Json = dict[str, Any]
DOCUMENT = settings.BASE_DIR / "docs" / "openapi.yaml"
SAMPLE = settings.BASE_DIR / "tests" / "emails" / "alternative_with_picture.eml"
JSON = "application/json"
PROBLEM = "application/problem+json"
LIMIT_HEADERS = {
    "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "RateLimit", "RateLimit-Policy",
    "X-API-Key-Id", "X-API-Key-Expires",
}  # fmt: skip


@pytest.fixture(scope="module")
def document() -> Json:
    made: Json = SchemaGenerator().get_schema(request=None, public=True)  # type: ignore[no-untyped-call]  # theirs
    return made


def operations(document: Json) -> Iterator[tuple[str, str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def said_last(operation: Json) -> str:
    """Its last paragraph."""
    return str(operation["description"].rpartition("\n\n")[2])


def bodies(operation: Json) -> Iterator[Json]:
    yield from operation.get("requestBody", {}).get("content", {}).values()


def takes_idempotency_key(operation: Json) -> bool:
    return any(parameter["name"] == "Idempotency-Key" for parameter in operation.get("parameters", []))


# --- the file


def test_the_document_is_up_to_date(document: Json) -> None:
    # if not: manage.py spectacular --validate --fail-on-warn --file docs/openapi.yaml
    made = OpenApiYamlRenderer().render(document, renderer_context={})  # type: ignore[no-untyped-call]  # theirs
    assert made.replace(settings.BASE_URL.encode(), b"http://127.0.0.1:8000") == DOCUMENT.read_bytes()


def test_the_document_is_made_without_a_warning(tmp_path: Path, document: Json) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "openapi.yaml"))
    validate_schema(document)  # type: ignore[no-untyped-call]  # theirs
    assert yaml.safe_load((tmp_path / "openapi.yaml").read_text()) == json.loads(json.dumps(document))


def test_what_is_served_is_the_same_document(document: Json) -> None:
    assert json.loads(schema.document("/")) == json.loads(json.dumps(document | {"servers": [{"url": "/"}]}))


# --- each operation


def test_every_route_of_the_api_is_in_it(document: Json) -> None:
    unlisted = {"v1/openapi.json"}  # itself
    routes = {route for route, _, _ in _actions(get_resolver().url_patterns)} - unlisted
    assert {"/" + re.sub(r"<str:(\w+)>", r"{\1}", route) for route in routes} == document["paths"].keys()


def test_every_operation_says_what_it_is_and_has_a_name_of_its_own(document: Json) -> None:
    listed = list(operations(document))
    assert len(listed) >= 6
    for path, method, operation in listed:
        for name in ("operationId", "summary", "description"):
            assert operation.get(name), (path, method, name)
        assert not operation["summary"].endswith("."), (path, method)
    identifiers = [operation["operationId"] for _, _, operation in listed]
    assert len(identifiers) == len(set(identifiers))


def test_every_operation_says_who_may(document: Json) -> None:
    for path, method, operation in operations(document):
        where = (path, method)
        assert [name for requirement in operation["security"] for name in requirement] == ["bearer", "apiKeyHeader"]
        required = operation["x-required-scopes"]
        assert set(required) <= set(Scope.values), where
        assert all(sorted(scopes) == required for entry in operation["security"] for scopes in entry.values()), where
        said = re.findall(r"`(\w+:\w+)`", said_last(operation))
        assert said == required or path.startswith("/v1/jobs"), where
        if path.startswith("/v1/jobs"):  # by what the job does
            assert re.search(
                r"`webhooks:(read|write)` for a replay, `emails:write` for an erasure\.$", said_last(operation)
            )
            continue
        if method != "get" and path != "/v1/routing/explain":  # whose question is in a body, and changes nothing
            assert any(not scope.endswith(":read") for scope in required), where
        if not required:
            assert operation["description"].endswith("Any valid key will do."), where


def test_every_operation_says_what_goes_wrong(document: Json) -> None:
    for path, method, operation in operations(document):
        where, answers = (path, method), operation["responses"]
        assert {"401", "403", "429"} <= answers.keys(), where
        assert any(status.startswith("2") for status in answers), where
        if "{" in path:
            assert "404" in answers, where
        if "requestBody" in operation:
            assert {"400", "413", "415"} <= answers.keys(), where
        for status, answer in answers.items():
            assert answer["description"], where
            assert "X-Request-Id" in answer["headers"], where
            assert (answer["headers"].keys() >= LIMIT_HEADERS) is (status < "4" or status == "429"), where
            is_in_progress = "`idempotency_in_progress`" in answer["description"]
            assert ("Retry-After" in answer["headers"]) is (status == "429" or is_in_progress), where
            assert ("Idempotency-Replayed" in answer["headers"]) is (status < "3" and takes_idempotency_key(operation))
            assert is_in_progress is (status == "409" and takes_idempotency_key(operation))
            if status >= "4":
                assert list(answer["content"]) == [PROBLEM], where


def test_what_changes_something_takes_an_idempotency_key(document: Json) -> None:
    takes = {(method, path) for path, method, operation in operations(document) if takes_idempotency_key(operation)}
    may = {(method, path) for path, method, _ in operations(document) if method in ("post", "patch")}
    assert may - takes == {("post", "/v1/routing/explain"), ("post", "/v1/webhooks/{id}/check-signature")}
    assert takes < may


def test_every_code_that_an_operation_names_is_in_the_table(document: Json) -> None:
    known = {(status, code) for status, code, _ in texts.ERRORS}
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            if status < "4":
                continue
            named = {code for code in re.findall(r"`([a-z_]+)`", answer["description"]) if "_" in code}
            named -= {"required_scopes", "violated_policies"}
            assert named <= {code for known_status, code in known if known_status == int(status)}, (path, method)


def test_every_body_has_an_example_that_its_schema_allows(document: Json) -> None:
    for path, method, operation in operations(document):
        for body in bodies(operation):
            examples = [example["value"] for example in body.get("examples", {}).values()]
            examples += [body["example"]] if "example" in body else []
            assert examples, (path, method)
            for example in examples:
                check(document, body["schema"], example)


def test_every_example_of_a_problem_is_one(document: Json) -> None:
    seen = set()
    for path, method, operation in operations(document):
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get(PROBLEM, {})
            if example := content.get("example"):
                check(document, content["schema"], example)
                assert example["status"] == int(status), (path, method)
                seen.add(example["code"])
    assert {"missing_credentials", "insufficient_scope", "not_found", "validation_error"} <= seen


@pytest.mark.django_db
def test_the_examples_are_what_is_really_answered(document: Json) -> None:
    answers = document["paths"]["/v1/emails/{id}"]["get"]["responses"]
    really = {
        "401": Client().get("/v1/emails/email_1"),
        "403": make_client(scopes=[Scope.DOMAINS_READ]).get("/v1/emails/email_1"),
        "404": make_client().get("/v1/emails/email_1"),
    }
    for status, answer in really.items():
        assert answer.json() == answers[status]["content"][PROBLEM]["example"]


def test_every_tag_is_explained_and_every_resource_has_one(document: Json) -> None:
    used = {tag for _, _, operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}
    assert used <= texts.TAGS.keys(), "a new resource: give it a tag in emailgistics/docs/texts.py"
    assert all(tag["description"] for tag in document["tags"])


@pytest.mark.parametrize(
    "path, tag",
    [
        ("/v1/me", "Keys"),
        ("/v1/aliases/{id}", "Aliases"),
        ("/v1/webhooks/{id}/rotate-secret", "Webhooks"),
        ("/v1/webhooks/{id}/deliveries", "Deliveries"),
        ("/v1/emails/{id}/attachments/{attachment_id}", "Emails"),
        ("/v1/something-new/{id}", "Something-new"),
    ],
)
def test_the_tag_comes_from_the_path(path: str, tag: str) -> None:
    assert schema.tag_of(path) == tag


# --- the whole


def test_it_says_where_the_api_is_and_how_to_come_in(document: Json) -> None:
    assert document["openapi"].startswith("3.1")
    assert document["servers"] == [{"url": settings.BASE_URL}]
    assert list(document["components"]["securitySchemes"]) == ["bearer", "apiKeyHeader"]
    for heading in ("Authentication", "Errors", "Ids and times", "Lists", "Limits", "Webhooks"):
        assert f"\n## {heading}\n" in document["info"]["description"]


def test_the_table_of_errors_is_in_it(document: Json) -> None:
    for status, code, _ in texts.ERRORS:
        assert f"| {status} | `{code}` |" in document["info"]["description"]


@pytest.mark.django_db
def test_the_table_of_errors_has_what_is_answered_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    driven: set[tuple[int, str]] = set()
    asked = chain(
        wrong_requests(),
        wrong_keys(),
        too_many(),
        refused_changes(),
        refused_mail(monkeypatch),
        unverified(monkeypatch),
        sent_again(monkeypatch),
        faults(monkeypatch),
    )
    for ask in asked:
        answer = ask()
        told = answer.json()
        assert (answer["Content-Type"], told["status"]) == (PROBLEM, answer.status_code)
        driven.add((answer.status_code, told["code"]))
    assert driven == {(status, code) for status, code, _ in texts.ERRORS}


Ask = Callable[[], Any]


def wrong_requests() -> Iterator[Ask]:
    """What no key may ask like this."""
    client = make_client()

    def post(body: Any, content_type: str = "application/json") -> Ask:
        return partial(client.post, "/v1/domains", body, content_type=content_type)

    yield from (post({}), post("{"), post('{"a":' + "[" * 32 + "]" * 32 + "}"), post("[]"))
    yield post("a=1", "application/x-www-form-urlencoded")
    yield post("x" * (MAX_BODY_BYTES + 1))
    yield partial(client.get, "/v1/domains?" + "a=1&" * 1000 + "a=1")
    yield partial(client.get, "/v1/domains?page=401&limit=25")
    yield partial(client.get, "/v1/domains", headers={"Host": "elsewhere.example"})
    yield partial(client.get, "/v1/domains", headers={"Accept": "text/html"})
    yield partial(client.get, "/v1/domains/dom_x")
    yield partial(client.get, "/v1/nothing")
    yield partial(client.put, "/v1/domains", "{}", content_type="application/json")


def wrong_keys() -> Iterator[Ask]:
    mailbox = make_mailbox()
    revoked, revoked_text = make_key()
    revoke_api_key(revoked)
    _, expired_text = make_expired_key()
    _, elsewhere_text = make_key(networks=["192.0.2.0/24"])
    for plaintext in ("emgk_short", new_key().plaintext, expired_text, revoked_text, elsewhere_text):
        yield partial(client_of(plaintext).get, "/v1/me")
    yield partial(Client().get, "/v1/me")
    yield partial(make_client(scopes=[Scope.EMAILS_READ]).get, "/v1/domains")
    restricted = make_client(mailboxes=[mailbox])
    yield partial(restricted.post, "/v1/domains", {"name": "a.example"}, content_type="application/json")
    make_alias(address="*@example.com", mailbox=mailbox)
    yield partial(restricted.delete, f"/v1/mailboxes/{mailbox.public_id}")


def refused_changes() -> Iterator[Ask]:
    client = make_client()
    make_message(to=("support@example.com",))
    alias = make_alias(address="taken@example.com", mailbox=make_mailbox(address="other@example.com"))
    domain_id = alias.domain.public_id
    body = {"domain_id": domain_id, "name": "taken", "mailbox_id": alias.mailbox.public_id}
    yield partial(client.post, "/v1/aliases", body, content_type="application/json")
    yield partial(client.post, "/v1/domains", {"name": "example.com"}, content_type="application/json")
    yield partial(client.delete, f"/v1/domains/{domain_id}")
    for condition in ('"another"', "nonsense"):
        yield partial(client.delete, f"/v1/aliases/{alias.public_id}", headers={"If-Match": condition})
    webhook = make_webhook(mailbox=alias.mailbox, url="")
    for _ in range(2):
        answer = partial(
            client.post, f"/v1/webhooks/{webhook.public_id}/rotate-secret", content_type="application/json"
        )
        if answer().status_code != HTTPStatus.OK:
            yield answer
    test = partial(client.post, f"/v1/webhooks/{webhook.public_id}/test", content_type="application/json")
    assert test().status_code == HTTPStatus.ACCEPTED  # it waits to be pulled
    yield test
    delivery = make_delivery(webhook, state="expired")
    Delivery.objects.update(body=None)
    EventBody.objects.all().delete()
    yield partial(client.post, f"/v1/deliveries/{delivery.public_id}/replay", content_type="application/json")
    email_id = Email.objects.order_by("id")[0].public_id
    yield partial(client.get, f"/v1/emails/{email_id}/raw", headers={"Range": "bytes=99999-"})
    yield partial(client.post, f"/v1/emails/{email_id}/release", content_type="application/json")
    Email.objects.update(raw_removed_at=timezone.now(), content_removed_at=timezone.now())
    yield partial(client.get, f"/v1/emails/{email_id}/raw")
    yield partial(client.get, f"/v1/emails/{email_id}/attachments")


def too_many() -> Iterator[Ask]:
    key, plaintext = make_key()
    change_plan(key, plan="enterprise", own_limits={"minute": 1})
    ask = partial(client_of(plaintext).get, "/v1/me")
    assert ask().status_code == HTTPStatus.OK
    yield ask

    def tried_too_often() -> Any:
        with mock.patch("apikeys.failures.seconds_to_wait", return_value=7):
            return client_of("emgk_short").get("/v1/me")

    yield tried_too_often


def refused_mail(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    client, url = make_client(), "/v1/emails?recipient=support@example.com"
    in_chunks = {"Transfer-Encoding": "chunked"}
    yield partial(client.post, url, RAW, content_type="message/rfc822", headers=in_chunks)
    Mailbox.objects.filter(local_part="support").update(quota_bytes=1)
    yield partial(client.post, url, RAW, content_type="message/rfc822")
    rule = Rule.objects.create(action="block", criterion="sender", value="ada@example.net")
    blocked = Verdict(Rule.Action.BLOCK, rule.pk)
    monkeypatch.setattr(rules, "judge", lambda cases: [Judgement((blocked,)) for _ in cases])
    yield partial(client.post, url, RAW, content_type="message/rfc822")


def unverified(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    verify = partial(make_client().post, f"/v1/domains/{make_domain().public_id}/verify", content_type=JSON)
    for found in ((), None):
        records = dns_records._Found(timezone.now(), 0.0, found, found, found)
        monkeypatch.setattr(dns_records, "_look_at", Mock(return_value=records))
        yield verify
    busy = dns_records.DnsBusyError("Others are looking.")
    monkeypatch.setattr(dns_records, "_look_at", Mock(side_effect=busy))
    yield verify


def sent_again(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    def post(name: str) -> Ask:
        body, headers = {"name": f"{name}.example"}, {"Idempotency-Key": "one"}
        return partial(client.post, "/v1/domains", body, content_type="application/json", headers=headers)

    client = make_client()
    assert post("one")().status_code == HTTPStatus.CREATED
    yield post("another")
    client = make_client()
    operation = {"action": "delete", "id": "alias_x"}
    for body in ({"operations": [operation] * 101}, {"operations": [operation], "atomic": True}):
        yield partial(client.post, "/v1/aliases/batch", body, content_type="application/json")
    with monkeypatch.context() as small:
        small.setattr(idempotency, "SMALL_BYTES", 0)
        small.setattr(idempotency, "MAX_LARGE_BYTES", 0)
        yield post("large")
    with monkeypatch.context() as busy:
        busy.setattr(idempotency, "_hold", Mock(side_effect=idempotency.InProgressError))
        yield post("busy")


def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ask]:
    client = make_client()
    client.raise_request_exception = False
    for error in (RuntimeError("broken"), OperationalError("away")):
        monkeypatch.setattr(Domain.objects, "visible_to", Mock(side_effect=error))
        yield partial(client.get, "/v1/domains")


def test_numbers_in_the_description_are_those_of_the_code() -> None:
    assert f"deeper than {MAX_DEPTH} levels" in texts.DESCRIPTION
    assert f"over {settings.DATA_UPLOAD_MAX_NUMBER_FIELDS:,} parameters" in texts.DESCRIPTION
    assert f"within {transport.TOTAL_S:g} seconds" in texts.DESCRIPTION
    assert TOLERANCE_S == 5 * 60
    assert "more than 5 minutes old" in texts.DESCRIPTION
    assert sum(retry.DELAYS, timedelta()) > timedelta(days=2)
    assert "tried again for days" in texts.DESCRIPTION


# --- what webhooks get


def check(document: Json, of: Json, value: Any) -> None:
    """Raises unless the value fits the schema, which may refer to the document's components."""
    jsonschema.Draft202012Validator(of | {"components": document["components"]}).validate(value)


def closed(document: Json) -> Json:
    """The document's components with nothing allowed beside what they name."""
    text = json.dumps(document["components"])
    components: Json = json.loads(text)
    for component in components["schemas"].values():
        if component.get("type") == "object":
            component["additionalProperties"] = False
    return {"components": components}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("form", Webhook.Payload.values)
@pytest.mark.parametrize("to", ["help+tag@example.com", "support@example.com"])
def test_a_real_event_is_what_the_document_says(
    document: Json, monkeypatch: pytest.MonkeyPatch, settings: Any, form: str, to: str
) -> None:
    settings.WEBHOOK_ALLOW_NETWORKS = ["127.0.0.1/32"]
    monkeypatch.setattr(receive, "nudge", lambda _: None)
    mailbox = make_alias().mailbox
    Webhook.objects.filter(pk=make_webhook(mailbox=mailbox).pk).update(payload=form)
    make_message(raw=SAMPLE.read_bytes(), to=(to,))
    process.drain(linger=timedelta(0))
    event = json.loads(bytes(EventBody.objects.get().body))
    operation = document["webhooks"]["email.received"]["post"]
    (content,) = bodies(operation)
    check(closed(document), content["schema"], event)
    named = set(document["components"]["schemas"]["EmailReceivedData"]["properties"])
    if form == Webhook.Payload.FULL:
        assert event["data"].keys() == named
        assert event["data"]["attachments"]
    else:
        assert "text" not in event["data"]


@pytest.mark.parametrize("event_type", samples.EVENTS)
def test_the_example_of_an_event_is_whole(document: Json, event_type: str) -> None:
    assert document["webhooks"].keys() == samples.EVENTS.keys()
    (content,) = bodies(document["webhooks"][event_type]["post"])
    (example,) = content["examples"].values()
    assert example["value"] == samples.EVENTS[event_type]
    check(closed(document), content["schema"], samples.EVENTS[event_type])
    named = document["components"]["schemas"]["EmailReceivedData"]["properties"].keys()
    assert samples.EMAIL_RECEIVED["data"].keys() == named
    read_only = [
        name
        for name, component in document["components"]["schemas"].items()
        if name.startswith(("Event", "EmailReceived", "WebhookTest", "WebhookDisabled", "DisabledWebhook"))
        and any("readOnly" in of for of in component.get("properties", {}).values())
    ]
    assert read_only == [], "Swagger UI shows none of these in what is sent"


@pytest.mark.parametrize("event_type", samples.EVENTS)
def test_the_headers_of_an_attempt_are_those_in_the_document(document: Json, event_type: str) -> None:
    secret = "whsec_" + "A" * 43 + "="
    sent = headers(event_id="evt_1", timestamp=1, attempt=1, body=b"{}", secrets=[secret, secret], version="1")
    of_every_request = {"content-type", "user-agent", "accept-encoding"}
    parameters = document["webhooks"][event_type]["post"]["parameters"]
    assert {parameter["name"] for parameter in parameters} == sent.keys() - of_every_request
    once = headers(event_id="evt_1", timestamp=1, attempt=1, body=b"{}", secrets=[secret], version="1")
    required = {parameter["name"] for parameter in parameters if parameter["required"]}
    assert required == once.keys() - of_every_request
    assert required == {name for name, (_, example) in events.HEADERS.items() if example}


def test_a_schema_that_lacks_a_field_would_be_noticed(document: Json) -> None:
    components = closed(document)
    del components["components"]["schemas"]["EventRoute"]["properties"]["tag"]
    of = {"$ref": "#/components/schemas/EventRoute"}
    validate: Callable[[Json], None] = lambda value: check(components, of, value)  # noqa: E731
    with pytest.raises(jsonschema.ValidationError, match="tag"):
        validate({"kind": "exact", "tag": None})
