"""How one call leads to the next (OpenAPI 3.1, section 4.8.20): the id of what was made is where it is read, changed,
or made use of.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Json = dict[str, Any]

CREATED = "201"
MADE = "$response.body#/id"
MADE_BY: Mapping[str, str] = {"emails_submit": "$response.body#/emails/0/id"}  # its own id is that of a message


def add_links(paths: Mapping[str, Json]) -> None:
    """To each operation that makes something, a link for every operation on what it made."""
    for path, methods in paths.items():
        making = methods.get("post", {})
        created = making.get("responses", {}).get(CREATED)
        made = MADE_BY.get(making.get("operationId", ""), MADE)
        links = {
            operation["operationId"]: {"operationId": operation["operationId"], "parameters": {"id": made}}
            for operation in _operations_on(f"{path}/{{id}}", paths)
        }
        if created is not None and links:
            created["links"] = links


def _operations_on(one: str, paths: Mapping[str, Json]) -> Iterator[Json]:
    """Those whose only path parameter is the id of one of them."""
    for path, methods in paths.items():
        if (path == one or path.startswith(f"{one}/")) and path.count("{") == 1:
            yield from methods.values()
