"""The API Access page, and what is said about keys."""

from apikeys.admin.keys import ApiKeyAdmin
from apikeys.admin.notices import KeyNoticeAdmin

__all__ = ["ApiKeyAdmin", "KeyNoticeAdmin"]
