"""The API Access page."""

from apikeys.admin.keys import ApiKeyAdmin
from apikeys.admin.notices import KeyNoticeAdmin

__all__ = ["ApiKeyAdmin", "KeyNoticeAdmin"]
