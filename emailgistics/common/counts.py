"""What the cache in Redis holds: numbers. Nothing else is written, and nothing else is read.

Django's own serializer would unpickle what is no number, and so run what whoever writes to Redis wants to be run.
"""

from redis.exceptions import DataError


class NumbersAlone:
    """A serializer for `django.core.cache.backends.redis.RedisCache`."""

    def dumps(self, value: object) -> int:
        if type(value) is not int:
            raise TypeError(f"The cache counts, and {type(value).__name__} is no number.")
        return value

    def loads(self, octets: bytes) -> int:
        """Raises DataError for what is no number; to who counts, that is a Redis that cannot be asked."""
        try:
            return int(octets)
        except ValueError:
            raise DataError("In the cache is something that is no number.") from None
