"""One installation for all of this folder, or one for each process that runs a part of it."""

from collections.abc import Iterator

import pytest

from tests import environment
from tests.installation import Installation
from tests.integrations.platforms import MakesKey, Receiver, receiver


@pytest.fixture(scope="package")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Its webhooks may go to any port of this machine."""
    with Installation(
        tmp_path_factory.mktemp("integrations"), on_postgres=environment.ON_POSTGRES, is_migrated=True
    ) as running:
        running.env["WEBHOOK_ALLOW_NETWORKS"] = "127.0.0.1/32"
        running.start()
        yield running


@pytest.fixture(scope="package")
def make_key(installation: Installation) -> MakesKey:
    return MakesKey(installation)


@pytest.fixture
def platform() -> Iterator[Receiver]:
    with receiver() as there:
        yield there


@pytest.fixture(scope="package")
def mailbox_id(installation: Installation) -> str:
    found: str = installation.manage("mailboxes", "show", "support@example.com")["id"]
    return found


@pytest.fixture(scope="package")
def domain_id(installation: Installation) -> str:
    found: str = installation.manage("domains", "show", "example.com")["id"]
    return found
