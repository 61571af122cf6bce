"""The API Access page."""

from apikeys.admin.keys import ApiKeyAdmin

__all__ = ["ApiKeyAdmin"]
