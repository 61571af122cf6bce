import base64
import hashlib
import hmac
import json
import secrets
import subprocess
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as StandardWebhook
from standardwebhooks.webhooks import WebhookVerificationError as StandardError
from svix.webhooks import Webhook as SvixWebhook
from svix.webhooks import WebhookVerificationError as SvixError

from apikeys.credentials import parse_webhook_secret
from emailgistics.common.errors import RefusedError
from webhooks import signing

# the example that the Standard Webhooks and Svix documentation work with
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 octets long").decode()
EVENT = "evt_01hx"
NOW = 1_780_000_000
BODIES = [b"{}", '{"text":"snow ☃ 🎉 \u2028 end"}'.encode(), b"", b"\x00\xff\r\n", b"x" * (1 << 20)]


def signed(body: bytes, *, at: int, keys: list[str] | None = None) -> dict[str, str]:
    return signing.headers(
        event_id=EVENT, timestamp=at, attempt=3, body=body, secrets=keys or [SECRET], version="0.1.0"
    )


def now() -> int:
    return int(datetime.now(UTC).timestamp())


def test_the_published_vector_is_signed_as_published() -> None:
    signature = signing.sign(
        event_id="msg_p5jXN8AQM9LWM0D4loKWxJek", timestamp=1614265330, body=b'{"test": 2432232314}', secrets=[SECRET]
    )
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_the_request_carries_exactly_these_headers() -> None:
    body = b'{"type":"email.received"}'
    assert signed(body, at=NOW) == {
        "content-type": "application/json",
        "webhook-id": EVENT,
        "webhook-timestamp": str(NOW),
        "webhook-signature": signing.sign(event_id=EVENT, timestamp=NOW, body=body, secrets=[SECRET]),
        "x-webhook-signature": hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(),
        "webhook-attempt": "3",
        "user-agent": "Emailgistics/0.1.0",
        "accept-encoding": "identity",
    }


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("octets", [24, 32, 64])
def test_the_libraries_of_standard_webhooks_and_svix_verify_it(body: bytes, octets: int) -> None:
    secret = "whsec_" + base64.b64encode(secrets.token_bytes(octets)).decode()
    document = body if body.startswith(b"{") else json.dumps(body.hex()).encode()
    sent = signed(document, at=now(), keys=[secret])
    assert StandardWebhook(secret).verify(document, sent) == json.loads(document)
    SvixWebhook(secret).verify(document, sent)
    with pytest.raises(StandardError):
        StandardWebhook(OTHER).verify(document, sent)
    with pytest.raises(SvixError):
        SvixWebhook(OTHER).verify(document, sent)


def test_during_a_rotation_both_secrets_verify_and_the_plain_signature_stays_with_the_old() -> None:
    sent = signed(b"{}", at=now(), keys=[OTHER, SECRET])
    for secret in (OTHER, SECRET):
        assert StandardWebhook(secret).verify(b"{}", sent) == {}
        signing.verify(sent, b"{}", secret, now=now())
    assert sent["x-webhook-signature"] == signing.hex_signature(b"{}", SECRET)
    assert sent["x-webhook-signature-next"] == signing.hex_signature(b"{}", OTHER)


# what the product's documentation tells Node.js users to write
NODE_SNIPPET = """
const crypto = require('crypto');
function verifyWebhook(payload, signature, secret) {
  const hash = crypto.createHmac('sha256', secret).update(payload).digest('hex');
  return hash === signature;
}
const [signature, secret] = process.argv.slice(1);
const payload = require('fs').readFileSync(0);
process.stdout.write(JSON.stringify([
  verifyWebhook(payload, signature, secret),
  verifyWebhook(payload.toString('utf8'), signature, secret),
  verifyWebhook(Buffer.concat([payload, Buffer.from(' ')]), signature, secret),
]));
"""


@pytest.mark.parametrize("body", [body for body in BODIES if b"\xff" not in body])
def test_the_documented_node_function_verifies_the_plain_signature(body: bytes, node: str) -> None:
    signature = signed(body, at=NOW)["x-webhook-signature"]
    ran = subprocess.run(
        [node, "-e", NODE_SNIPPET, signature, SECRET], input=body, capture_output=True, check=True, timeout=60
    )
    assert json.loads(ran.stdout) == [True, True, False]  # as octets, as text, and with a space more


def test_a_received_request_verifies_whatever_the_case_of_its_header_names() -> None:
    sent = {name.title(): value for name, value in signed(b"{}", at=NOW).items()}
    signing.verify(sent, b"{}", SECRET, now=NOW + 300)
    signing.verify(sent, b"{}", SECRET, now=NOW - 300)


def test_a_signature_among_those_of_other_kinds_is_found() -> None:
    sent = signed(b"{}", at=NOW)
    sent["webhook-signature"] = f"v1a,AAAA v2,x garbage  {sent['webhook-signature']} v1,"
    signing.verify(sent, b"{}", SECRET, now=NOW)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"webhook-id": ""}, "no webhook-id header"),
        ({"webhook-signature": "", "webhook-timestamp": ""}, "no webhook-timestamp and no webhook-signature"),
        ({"webhook-timestamp": "1.5"}, "not a number"),
        ({"webhook-timestamp": "-5"}, "not a number"),
        ({"webhook-timestamp": "9" * 5000}, "not a number"),
        ({"webhook-id": "evt_other"}, "another secret, or the body"),
        ({"webhook-timestamp": str(NOW + 1)}, "another secret, or the body"),
        ({"webhook-signature": "v1"}, "another secret, or the body"),
        ({"webhook-signature": "v1,\udcff é"}, "another secret, or the body"),
    ],
)
def test_what_does_not_verify_says_why(change: dict[str, str], reason: str) -> None:
    sent = signed(b"{}", at=NOW)
    signing.verify(sent, b"{}", SECRET, now=NOW)
    with pytest.raises(signing.SignatureError, match=reason):
        signing.verify(sent | change, b"{}", SECRET, now=NOW)


def test_another_body_and_another_secret_do_not_verify() -> None:
    sent = signed(b'{"a":1}', at=NOW)
    for body, secret in ((b'{"a": 1}', SECRET), (b'{"a":1}', OTHER)):
        with pytest.raises(signing.SignatureError, match="No v1 signature"):
            signing.verify(sent, body, secret, now=NOW)


@pytest.mark.parametrize(("later", "reason"), [(301, "301 s old"), (-301, "301 s in the future")])
def test_an_old_or_early_request_is_refused_with_its_age(later: int, reason: str) -> None:
    with pytest.raises(signing.SignatureError, match=reason):
        signing.verify(signed(b"{}", at=NOW), b"{}", SECRET, now=NOW + later)


@pytest.mark.parametrize(
    "secret",
    [
        "", "whsec_", SECRET.removeprefix("whsec_"), "WHSEC_" + SECRET[6:], SECRET + "=", SECRET[:-1], SECRET + "\n",
        SECRET[:10] + " " + SECRET[10:], SECRET.replace("9", "-"), "whsec_é" + SECRET[7:],
        "whsec_" + base64.b64encode(bytes(23)).decode(), "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + base64.b64encode(bytes(25)).decode().replace("AA==", "AB=="),  # decodes to the same octets
    ],
)  # fmt: skip
def test_a_secret_that_is_none_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(RefusedError, match="A webhook secret") as caught:
        parse_webhook_secret(secret)
    assert not secret or secret not in str(caught.value) or secret == "whsec_"


@pytest.mark.parametrize("event_id", ["", "evt.1", "evt_\u00e9"])
def test_an_event_id_that_could_be_read_in_two_ways_is_not_signed(event_id: str) -> None:
    with pytest.raises(ValueError, match=r"without a dot|ascii"):
        signing.sign(event_id=event_id, timestamp=NOW, body=b"{}", secrets=[SECRET])


def test_without_a_secret_there_are_no_headers() -> None:
    with pytest.raises(ValueError, match="at least one secret"):
        signing.headers(event_id=EVENT, timestamp=NOW, attempt=1, body=b"", secrets=[], version="0.1.0")


@given(body=st.binary(), octets=st.binary(min_size=24, max_size=64), at=st.integers(0, 10**10))
def test_what_is_signed_verifies_and_one_octet_more_does_not(body: bytes, octets: bytes, at: int) -> None:
    secret = "whsec_" + base64.b64encode(octets).decode()
    assert parse_webhook_secret(secret) == octets
    sent = signed(body, at=at, keys=[secret])
    signing.verify(sent, body, secret, now=at)
    with pytest.raises(signing.SignatureError):
        signing.verify(sent, body + b"x", secret, now=at)
