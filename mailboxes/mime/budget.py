"""How much of a mail is looked at, and what was found wrong with it.

Every limit stands before the work it bounds, and all work is linear in what the limits let through.
"""

from dataclasses import dataclass, field
from enum import StrEnum

MAX_HEADER_OCTETS = 1 << 20  # of one part's header block
MAX_FIELDS = 2_000  # of one part
MAX_ADDRESSES = 2_000  # in all fields together
MAX_WORDS = 1_000  # encoded words of one field
MAX_REFERENCES = 1_000
MAX_SUBJECT_CHARACTERS = 2_000  # lists show it; all of it is in the headers
MAX_NAME_CHARACTERS = 998  # of an address, and of the name beside it
MAX_DEPTH = 50  # of multiparts in multiparts
MAX_PARTS = 1_000
MAX_ATTACHMENTS = 500
MAX_BODY_CHARACTERS = 1 << 20  # of text, and of html
PREVIEW_CHARACTERS = 200
MAX_BOUNDARY_OCTETS = 1_024  # RFC 2046 allows 70; some senders do not care
MAX_DATE_CHARACTERS = 200
MAX_ID_CHARACTERS = 998  # a line of RFC 5322 section 2.1.1
MAX_FILENAME_OCTETS = 255  # what file systems take
MAX_CONTENT_TYPE_CHARACTERS = 255
MAX_URL_CHARACTERS = 2_000
MAX_UNSUBSCRIBE_URLS = 10
MAX_DIAGNOSTIC_CHARACTERS = 1_000  # of a bounce
MAX_CALENDAR_OCTETS = 128 << 10  # that are read, once decoded
MAX_CALENDAR_TEXT_CHARACTERS = 1_000
MAX_KEY_SCAN_OCTETS = 1 << 20  # of each attachment, once decoded
GUESS_OCTETS = 64 << 10  # charset-normalizer sees no more of one text than this,
MAX_GUESS_OCTETS = 4 * GUESS_OCTETS  # and of all texts of a mail no more than this


class Defect(StrEnum):
    """Stable codes; webhook receivers may act on them. New ones may be added."""

    NO_HEADER = "no_header"
    BAD_HEADER_LINE = "bad_header_line"  # the header block ends at a line that is no field
    DUPLICATE_HEADER = "duplicate_header"  # of a field that may be there once; the first one counts
    DUPLICATE_PARAMETER = "duplicate_parameter"  # as boundary or charset, with another value; the first one counts
    CONTROL_IN_HEADER = "control_in_header"  # NUL, a CR alone, an escape, …; left out
    BARE_NEWLINE = "bare_newline"  # LF or CR alone in a mail whose lines end with CRLF
    HEADER_TOO_LARGE = "header_too_large"
    TOO_MANY_HEADERS = "too_many_headers"
    TOO_MANY_ADDRESSES = "too_many_addresses"
    TOO_MANY_ENCODED_WORDS = "too_many_encoded_words"
    TOO_MANY_REFERENCES = "too_many_references"
    SUBJECT_TOO_LONG = "subject_too_long"
    BAD_ADDRESS = "bad_address"  # nothing on one side of the @, or absurdly long
    BAD_DATE = "bad_date"
    BAD_ID = "bad_id"  # Message-ID or Content-ID longer than a line may be
    BAD_CONTENT_TYPE = "bad_content_type"
    MISSING_BOUNDARY = "missing_boundary"  # a multipart whose parts cannot be told apart: taken as text
    DUPLICATE_BOUNDARY = "duplicate_boundary"  # of a multipart inside one with the same boundary: the outer one counts
    MISSING_END_BOUNDARY = "missing_end_boundary"
    ENCODED_MULTIPART = (
        "encoded_multipart"  # base64 or quoted-printable for all of a multipart: its parts are read as is
    )
    CONFLICTING_NAMES = "conflicting_names"  # of one attachment; that of Content-Disposition counts
    TOO_DEEP = "too_deep"
    TOO_MANY_PARTS = "too_many_parts"
    TOO_MANY_ATTACHMENTS = "too_many_attachments"
    UNKNOWN_ENCODING = "unknown_encoding"
    BAD_BASE64 = "bad_base64"  # foreign characters, content after its end, or cut off
    BAD_CALENDAR = "bad_calendar"
    UNKNOWN_CHARSET = "unknown_charset"
    WRONG_CHARSET = "wrong_charset"  # not the declared one, or none declared: a guess
    TEXT_TOO_LONG = "text_too_long"
    HTML_TOO_LONG = "html_too_long"
    HTML_TOO_COMPLEX = "html_too_complex"  # not shown to people; the HTML itself is there
    INTERNAL_ERROR = "internal_error"  # a mistake of ours; the log has it


@dataclass(slots=True)
class Budget:
    """What one mail may still cost, and its defects so far."""

    sample: bytes = b""  # the first octets of the mail, for its header's charset where that is not UTF-8
    header_codec: str | None = None  # once it has been asked for
    addresses: int = MAX_ADDRESSES
    guess_octets: int = MAX_GUESS_OCTETS
    _defects: dict[Defect, None] = field(default_factory=dict)

    def note(self, defect: Defect) -> None:
        self._defects[defect] = None

    @property
    def defects(self) -> tuple[str, ...]:
        """In the order of their first sight."""
        return tuple(defect.value for defect in self._defects)
