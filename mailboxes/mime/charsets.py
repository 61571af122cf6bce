"""Octets -> text, whatever their label says; and the one place where text is made clean."""

import codecs
import re
from encodings.aliases import aliases

import charset_normalizer

from mailboxes.mime.budget import GUESS_OCTETS, Budget, Defect

# codecs that Python knows by name and that are no charsets, or (UTF-7) hide what they say from everything that looks
_NO_CHARSETS = {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
_NO_CHARSETS |= {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "charmap", "mbcs", "oem"}
_NO_CHARSETS |= {"utf_7"}
_WITHOUT_ALIAS = ("koi8_t", "koi8_u", "cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "utf_8_sig")
CODECS = {
    **{alias: codec for alias, codec in aliases.items() if codec not in _NO_CHARSETS},
    **{codec: codec for codec in (*aliases.values(), *_WITHOUT_ALIAS) if codec not in _NO_CHARSETS},
}
# what a label means in mail that people really send: the larger set that its senders use under the smaller one's name
_MEANT = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "iso2022_jp": "iso2022_jp_ext",
}
_BY_OTHER_NAMES = {
    "windows_874": "cp874",
    "windows_31j": "cp932",
    "windows_949": "cp949",
    "x_sjis": "cp932",
    "x_euc_jp": "euc_jp",
    "x_gbk": "gb18030",
    "ks_c_5601": "cp949",
    "x_windows_949": "cp949",
    "big5_hkscs": "big5hkscs",
    "x_x_big5": "big5",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "utf8mb4": "utf_8",
    "utf_8_mb4": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "x_mac_roman": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
}
# what senders write who do not know their charset: the same as writing none
_NO_ANSWERS = frozenset(("", "unknown", "unknown_8bit", "x_unknown", "8bit", "default", "default_charset", "none"))

LATIN = "cp1252"
# charset-normalizer chooses well between these, and badly once it may also choose among Latin ones
_GUESSES = ["cp1251", "koi8_r", "koi8_u", "cp932", "euc_jp", "gb18030", "big5", "cp949"]
_GUESSES += ["cp1253", "cp1255", "cp1256", "cp874"]
_HIGH_RUN = re.compile(rb"[\x80-\xff]{2,}+")
_ASCII = bytes(range(128))
_FEWEST_HIGH = 8  # octets above 127; fewer say nothing about their charset
_MOST_ERRORS = 0.1  # of those octets, for the declared charset to be the right one all the same

_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_LINE_END = re.compile("\r\n?")
_BLANKS = re.compile("[\t\n]+")


def clean_text(text: str) -> str:
    """Text as it may be stored and shown: LF ends lines; no NUL, lone surrogates or controls but tab and newline."""
    return _UNWANTED.sub("", _LINE_END.sub("\n", text))


def clean_line(text: str) -> str:
    """clean_text for what is one line: a header's value, a name."""
    return _BLANKS.sub(" ", clean_text(text)).strip()


def codec_of(charset: str) -> str | None:
    """The name of Python's text codec for a charset label; None when there is none. No lookup, no import."""
    key = _key(charset)
    codec = _BY_OTHER_NAMES.get(key) or CODECS.get(key) or CODECS.get(key.replace("_", ""))
    return _MEANT.get(codec, codec) if codec else None


def decode(octets: bytes, charset: str, budget: Budget, *, is_cut: bool = False) -> str:
    """Text by the declared charset, else UTF-8, else a guess, else Windows-1252 with what does not fit replaced.

    charset is the label, "" for none. With is_cut the octets may end within a character, which is left out.
    """
    codec = codec_of(charset)
    if codec is None and _key(charset) not in _NO_ANSWERS:
        budget.note(Defect.UNKNOWN_CHARSET)
    for name in filter(None, (codec, "utf_8")):
        text = _strictly(octets, name, is_cut=is_cut)
        if text is not None:
            if codec not in (None, "ascii", name):
                budget.note(Defect.WRONG_CHARSET)
            return text.removeprefix("\ufeff")
    budget.note(Defect.WRONG_CHARSET)
    return _mostly(octets, codec or "utf_8") or octets.decode(_guess(octets, budget), errors="replace")


def decode_header(octets: bytes, budget: Budget) -> str:
    """Raw octets of a header, which has no label: UTF-8, else a guess from the whole beginning of the mail.

    One subject alone is too short to tell KOI8-R from Shift_JIS.
    """
    text = _strictly(octets, "utf_8", is_cut=False)
    if text is not None:
        return text
    budget.note(Defect.WRONG_CHARSET)
    if budget.header_codec is None:
        budget.header_codec = _guess(budget.sample, budget)
    return _mostly(octets, "utf_8") or octets.decode(budget.header_codec, errors="replace")


def _key(charset: str) -> str:
    return re.sub(r"[^a-z0-9]++", "_", charset[:64].lower()).strip("_")


def _strictly(octets: bytes, codec: str, *, is_cut: bool) -> str | None:
    try:
        return codecs.getincrementaldecoder(codec)("strict").decode(octets, final=not is_cut)
    except UnicodeError:
        return None


def _mostly(octets: bytes, codec: str) -> str | None:
    """The text when only a few octets in it are broken, as where a line was folded within a character."""
    if codec == "ascii":
        codec = "utf_8"
    text = octets.decode(codec, errors="replace")
    high = len(octets) - _count(octets, _ASCII)
    return text if high and text.count("\ufffd") <= high * _MOST_ERRORS else None


def _guess(octets: bytes, budget: Budget) -> str:
    """The codec of a text in another than the Latin script; Windows-1252 when it looks Latin or like nothing at all.

    Single letters above 127 between ASCII ones are Latin; other scripts have them in runs.
    """
    sample = octets[: min(GUESS_OCTETS, budget.guess_octets)]
    high = len(sample) - _count(sample, _ASCII)
    in_runs = sum(len(run) for run in _HIGH_RUN.findall(sample))
    if high < _FEWEST_HIGH or in_runs < high / 2:
        return LATIN
    budget.guess_octets -= len(sample)
    if len(sample) < len(octets):
        sample = sample[: sample.rfind(b"\n") + 1] or sample  # not within a character
    match = charset_normalizer.from_bytes(sample, cp_isolation=_GUESSES).best()
    return match.encoding if match and match.encoding in _GUESSES else LATIN


def _count(octets: bytes, of: bytes) -> int:
    return len(octets) - len(octets.translate(None, delete=of))
