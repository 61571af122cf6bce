"""The JSON Schemas of events: in docs/ as the code makes them, served, and true of what is really sent."""

import json
from typing import Any

import jsonschema
import pytest
import referencing
import referencing.jsonschema
from django.conf import settings as django_settings
from django.core.management import call_command

from emailgistics.common.access import Scope
from emailgistics.docs.schema import event_schema
from tests.apikeys.factories import make_client
from tests.factories import make_alias, make_mailbox, make_message, make_webhook
from tests.webhooks.events import make_event, octets_of, process_event
from tests.webhooks.mails import made_mails
from webhooks.models import EventBody
from webhooks.samples import EVENTS
from webhooks.services import bodies

FOLDER = django_settings.BASE_DIR / "docs" / "schemas"
MAILS = django_settings.BASE_DIR / "tests" / "emails"
Json = dict[str, Any]

# what each form has beside what all have
CONTENT = {"text", "text_truncated", "html", "html_truncated", "preview", "reply", "headers", "headers_truncated"}
HEADER = {"sender", "reply_to", "in_reply_to", "references", "list", "calendar"}
LINKED = {"filename", "content_id", "url", "sha256"}
OF_FORM: dict[str, tuple[set[str], set[str]]] = {
    "full": (CONTENT | HEADER, LINKED),
    "inline": (CONTENT | HEADER, LINKED | {"content", "content_omitted"}),
    "thin": (HEADER, LINKED),
    "metadata": (set(), set()),
}


def schema_of(event_type: str, *, closed: bool = True) -> Json:
    schema: Json = json.loads((FOLDER / f"{event_type}.json").read_text())
    if closed:
        for definition in schema["$defs"].values():
            definition["additionalProperties"] = False
    return schema


def check(octets: bytes, schema: Json) -> Json:
    value: Json = json.loads(octets)
    jsonschema.Draft202012Validator(schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER).validate(
        value
    )
    return value


@pytest.mark.django_db
def test_the_names_of_all_are_listed() -> None:
    client = make_client(scopes=[Scope.DOMAINS_READ])
    listed = client.get("/v1/schemas").json()["data"]
    assert [one["event_type"] for one in listed] == [*EVENTS]
    for one in listed:
        assert one["name"] == f"{one['event_type']}.json"
        assert one["url"] == f"{django_settings.BASE_URL}/v1/schemas/{one['name']}"
        assert client.get(f"/v1/schemas/{one['name']}").status_code == 200


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_files_are_up_to_date(event_type: str, tmp_path: Any) -> None:
    # if not: manage.py event_schemas
    call_command("event_schemas", folder=tmp_path, verbosity=0)
    assert (tmp_path / f"{event_type}.json").read_bytes() == (FOLDER / f"{event_type}.json").read_bytes()
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(f"{name}.json" for name in EVENTS)


@pytest.mark.parametrize("event_type", EVENTS)
def test_they_are_schemas_of_their_draft_and_stand_alone(event_type: str) -> None:
    schema = schema_of(event_type, closed=False)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(schema)
    assert "components" not in text
    assert '"additionalProperties": false' not in text, "receivers must take names that are added later"


@pytest.mark.parametrize("event_type", EVENTS)
def test_each_names_itself_by_where_it_is_served_whatever_the_host(event_type: str) -> None:
    schema = schema_of(event_type)
    served = f"/v1/schemas/{event_type}.json"
    assert schema["$id"] == served
    # one that is kept beside others is found by that name
    kept = referencing.Registry().with_resource(served, referencing.jsonschema.DRAFT202012.create_resource(schema))
    jsonschema.Draft202012Validator({"$ref": served}, registry=kept).validate(EVENTS[event_type])


@pytest.mark.parametrize("event_type", EVENTS)
def test_the_samples_are_what_they_say(event_type: str) -> None:
    check(json.dumps(EVENTS[event_type]).encode(), schema_of(event_type))
    others = [other for other in EVENTS if other != event_type]
    for other in others:
        with pytest.raises(jsonschema.ValidationError):
            check(json.dumps(EVENTS[other]).encode(), schema_of(event_type, closed=False))


def real_mails() -> list[bytes]:
    files = [path.read_bytes() for path in sorted(MAILS.glob("*.eml"))]
    assert len(files) > 8
    return [*files, b"", b"\x00", *made_mails(120, seed=3)]


@pytest.mark.django_db
@pytest.mark.usefixtures("loopback_allowed")
@pytest.mark.on_sqlite  # the octets are the same in any database
def test_every_form_of_every_mail_is_what_the_schema_says() -> None:
    schema, mailbox = schema_of("email.received"), make_mailbox()
    names = schema["$defs"]["EmailReceivedData"]["properties"].keys()
    of_attachments = schema["$defs"]["EventAttachment"]["properties"].keys()
    attachments = 0
    for raw in real_mails():
        event = make_event(raw, mailbox=mailbox)
        for form, (said, linked) in OF_FORM.items():
            data = check(octets_of(event, form), schema)["data"]
            assert data.keys() == names - ((CONTENT | HEADER) - said), form
            assert ("url" in data["raw"]) == bool(linked)
            for attachment in data["attachments"]:
                attachments += 1
                assert attachment.keys() == of_attachments - ({*LINKED, "content", "content_omitted"} - linked), form
    assert attachments > 4 * 50
    assert OF_FORM.keys() == set(EventBody.Form.values)


@pytest.mark.django_db
@pytest.mark.usefixtures("loopback_allowed")
def test_mail_by_an_alias_is_what_the_schema_says() -> None:
    alias, raw = make_alias(), b"Subject: s\r\n\r\n"
    make_webhook(alias=alias)
    event = process_event(make_message(raw=raw, to=("help+tag@example.com",), mail_from=""), raw)
    data = check(octets_of(event), schema_of("email.received"))["data"]
    assert data["alias"]["id"] == alias.public_id


@pytest.mark.django_db
@pytest.mark.usefixtures("loopback_allowed")
@pytest.mark.parametrize("binding", ["alias", "mailbox", "domain"])
def test_events_about_webhooks_are_what_their_schemas_say(binding: str) -> None:
    alias = make_alias()
    things: dict[str, Any] = {"alias": alias, "mailbox": alias.mailbox, "domain": alias.domain}
    webhook = make_webhook(**{binding: things[binding]})
    check(bytes(bodies.store_test_event(webhook).body), schema_of("webhook.test"))
    disabled = bodies.store_disabled_event(webhook, reason="it answered 410")
    said = check(bytes(disabled.body), schema_of("webhook.disabled"))["data"]["webhook"]
    assert said[f"{binding}_id"] == things[binding].public_id


# --- over HTTP


@pytest.mark.django_db
@pytest.mark.parametrize("event_type", EVENTS)
def test_any_valid_key_reads_them(event_type: str) -> None:
    client = make_client(mailboxes=[make_mailbox()], scopes=[Scope.DOMAINS_READ])
    answer = client.get(f"/v1/schemas/{event_type}.json")
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/schema+json")
    assert answer.content == event_schema(event_type)
    again = client.get(f"/v1/schemas/{event_type}.json", headers={"If-None-Match": answer["ETag"]})
    assert again.status_code == 304


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["email.received", "email.received.yaml", "email.lost.json", ".json", "json", "x"])
def test_another_name_is_nothing(name: str) -> None:
    answer = make_client().get(f"/v1/schemas/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.django_db
def test_without_a_key_there_is_no_schema(client: Any) -> None:
    assert client.get("/v1/schemas/email.received.json").status_code == 401


@pytest.mark.django_db
def test_a_sample_event_comes_in_the_shape_of_a_real_one() -> None:
    client = make_client(scopes=[Scope.WEBHOOKS_READ])
    for event_type, sample in EVENTS.items():
        answer = client.get(f"/v1/webhooks/sample?event={event_type}")
        assert (answer.status_code, answer.json()) == (200, sample)
        check(answer.content, schema_of(event_type))
    assert client.get("/v1/webhooks/sample").json() == EVENTS["email.received"]


@pytest.mark.django_db
def test_a_sample_of_an_unknown_event_says_which_there_are() -> None:
    answer = make_client(scopes=[Scope.WEBHOOKS_READ]).get("/v1/webhooks/sample?event=email.lost")
    assert (answer.status_code, answer.json()["code"]) == (400, "validation_error")
    assert answer.json()["errors"][0]["pointer"] == "/event"
    for event_type in EVENTS:
        assert event_type in answer.json()["detail"]


@pytest.mark.django_db
def test_a_sample_needs_webhooks_read() -> None:
    answer = make_client(scopes=[Scope.EMAILS_CONTENT]).get("/v1/webhooks/sample")
    assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
