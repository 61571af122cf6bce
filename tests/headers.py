"""Headers of answers, to be compared."""

import re

from django.http import HttpResponse

OF_ONE_ANSWER = re.compile(r"X-Request-Id|Date|(X-)?RateLimit.*", re.IGNORECASE)


def headers_of(answer: HttpResponse) -> dict[str, str]:
    """Without those in which the same answer differs each time: which one it is, and what is left of the limits."""
    return {name: value for name, value in answer.headers.items() if not OF_ONE_ANSWER.fullmatch(name)}
