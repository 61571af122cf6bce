"""What an attachment is by its first octets, whatever its header says."""

import logging
import re

SNIFF_OCTETS = 8192  # what the signatures look at

log = logging.getLogger(__name__)

# what a browser would take for a page, by how it begins (mimesniff.spec.whatwg.org section 7.1); no signature has them
_PAGE = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,1000}?-->\s*)?"
    rb"(?:<\?xml[^>]{0,200}>\s*(?:<!DOCTYPE svg[^>]{0,300}>\s*)?(?P<svg><svg[\s>])|(?P<bare_svg><svg[\s>])"
    rb"|(?P<html><(?:!DOCTYPE HTML|HTML|HEAD|SCRIPT|IFRAME|BODY|STYLE|TITLE)[\s>]))",
    re.IGNORECASE | re.DOTALL,
)


def detected_type(octets: bytes) -> str:
    """The media type that the beginning of decoded content shows; empty when it shows none, as most text does."""
    if page := _PAGE.match(octets[:SNIFF_OCTETS]):
        return "text/html" if page["html"] else "image/svg+xml"
    import filetype  # noqa: PLC0415 - only mail with attachments needs it

    try:
        return str(filetype.guess_mime(octets[:SNIFF_OCTETS]) or "")
    except Exception:  # one signature that stumbles must not cost the mail
        log.exception("mime.sniffing_failed")
        return ""
