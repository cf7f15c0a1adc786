"""What a credential looks like where somebody hid it."""

import base64
import re
from collections.abc import Iterator

_ESCAPED = re.compile(
    rb"%([0-9a-f]{2})|\\u00([0-9a-f]{2})|\\x([0-9a-f]{2})|&#x0*([0-9a-f]{2});?|&#0*([0-9]{2,3});?", re.IGNORECASE
)


def forms(text: str) -> Iterator[bytes]:
    """Give a text raw, in UTF-16, in hex, in base64 in its three alignments, and with every character escaped."""
    raw = text.encode()
    yield raw
    # Without the last byte: the little end of one order is the big end of the other.
    yield text.encode("utf-16-le")[:-1]
    for hexadecimal in (raw.hex(), raw.hex().upper()):
        pairs = re.findall("..", hexadecimal)
        yield hexadecimal.encode()
        for escape in ("%{}", "\\u00{}", "\\x{}", "&#x{};"):
            yield "".join(escape.format(pair) for pair in pairs).encode()
    yield "".join(f"&#{number};" for number in raw).encode()
    for shift in range(3):
        # The characters that depend on the text's neighbours are left out.
        inner = base64.b64encode(b"\0" * shift + raw)[(shift * 8 + 5) // 6 :].rstrip(b"=")[:-1]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def holds(data: bytes, text: str) -> bool:
    """Tell whether `data` holds the text in one of its forms, also where only some characters are escaped."""
    return any(form in view for view in (data, _plain(data)) for form in forms(text))


def _plain(data: bytes) -> bytes:
    """Undo escapes, once."""

    def unescape(match: re.Match[bytes]) -> bytes:
        *hexadecimal, decimal = match.groups()
        found = next((digits for digits in hexadecimal if digits), None)
        number = int(found, 16) if found else int(decimal)
        return bytes([number]) if number < 256 else match[0]

    return _ESCAPED.sub(unescape, data)
