"""The OpenAPI document of /v1, and the pages that show it."""
