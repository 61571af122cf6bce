"""Keys that come from the encryption keys, each for one purpose: of tombstones' marks, and of links to files.

What was marked or signed with one cannot be made anew: what a tombstone is of is known to nobody, and links are in
bodies that went out. So before an encryption key is dropped, what was derived from it is kept: sealed with the primary
one, and of no use for opening what the dropped one sealed.
"""

from typing import Final

from emailgistics.common.crypto import DecryptionError, decrypt, derived, encrypt
from emailgistics.common.key_uses import ENCRYPTION, Needing, ring_of
from emailgistics.common.logs import get_logger
from emailgistics.common.models import KeptKey, SecretCheck
from emailgistics.common.sealed import context

log = get_logger(__name__)

TOMBSTONES, LINKS = "tombstones", "links"
# keeps these keys apart from all others that come from the same secret
PURPOSES: Final = {TOMBSTONES: b"emailgistics tombstones 1", LINKS: b"emailgistics files 1"}


def primary_key(name: str) -> tuple[int, bytes]:
    """For what is made from now on: the encryption key's number, and the key that comes from it for that purpose."""
    ring = ring_of(ENCRYPTION)
    return ring.primary, derived(ring.keys[ring.primary], purpose=PURPOSES[name])


def key_of(name: str, number: int) -> bytes | None:
    """The key for that purpose out of that encryption key. The database is asked for those that are not configured."""
    ring = ring_of(ENCRYPTION)
    if number in ring.keys:
        return derived(ring.keys[number], purpose=PURPOSES[name])
    kept = KeptKey.objects.filter(pk=_pk(name, number)).first()
    return _opened(kept) if kept else None


def all_keys(name: str) -> list[bytes]:
    """Of every encryption key that there was, as far as it is configured or kept."""
    ring = ring_of(ENCRYPTION)
    keys = [derived(key, purpose=PURPOSES[name]) for key in ring.keys.values()]
    configured = {_pk(name, number) for number in ring.keys}
    kept = KeptKey.objects.filter(pk__startswith=f"{name}:").exclude(pk__in=configured)
    return [*keys, *(key for key in map(_opened, kept) if key is not None)]


def keep() -> int:
    """Keeps what was derived from the configured encryption keys that were primary once. Says how many it kept."""
    ring = ring_of(ENCRYPTION)
    missing = [(name, number) for number, names in _unkept().items() if number in ring.keys for name in names]
    for name, number in missing:
        sealed = encrypt(derived(ring.keys[number], purpose=PURPOSES[name]), context=_context(_pk(name, number)))
        KeptKey.objects.get_or_create(pk=_pk(name, number), defaults={"sealed": sealed})
    return len(missing)


def unkept_by_number() -> dict[int, Needing]:
    return {number: Needing(len(names)) for number, names in _unkept().items()}


def _unkept() -> dict[int, list[str]]:
    """Purposes by number of encryption keys that were primary, and are not now."""
    kept = set(KeptKey.objects.values_list("pk", flat=True))
    former = SecretCheck.objects.filter(name=ENCRYPTION, was_primary=True).exclude(number=ring_of(ENCRYPTION).primary)
    numbers = former.order_by("number").values_list("number", flat=True)
    missing = {number: [name for name in PURPOSES if _pk(name, number) not in kept] for number in numbers}
    return {number: names for number, names in missing.items() if names}


def _opened(kept: KeptKey) -> bytes | None:
    try:
        return decrypt(bytes(kept.sealed), context=_context(kept.pk))
    except DecryptionError as error:
        log.error("derived_key.unreadable", kept=kept.pk, reason=str(error))  # noqa: TRY400 - all is said
        return None


def _pk(name: str, number: int) -> str:
    return f"{name}:{number}"


def _context(pk: str) -> str:
    return context(KeptKey, "sealed", pk)
