"""Which peppers keys still need. A digest cannot be made with another one: nobody has the key, which is the point."""

from django.db.models import Count, Max

from apikeys.models import ApiKey
from emailgistics.common.key_uses import Needing

OF = "API keys in force"
REMEDY = "rotate or revoke these keys, or wait until they have expired"


def keys_by_pepper() -> dict[int, Needing]:
    """By the number of the pepper; until is the latest expiry. Ended keys need none: their answer is a 401 anyway."""
    rows = ApiKey.objects.in_force().values("pepper").annotate(rows=Count("pk"), until=Max("expires_at")).order_by()
    return {row["pepper"]: Needing(row["rows"], row["until"]) for row in rows}
