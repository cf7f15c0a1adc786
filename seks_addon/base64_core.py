"""A text within base64: what of it doesn't depend on what stands around."""

import base64


def base64_core(value: bytes, before: int) -> bytes:
    """Give the characters of base64 that depend on `value` alone, where so many bytes, modulo 3, stand before it."""
    encoded = base64.b64encode(bytes(before) + value)
    return encoded[-(-8 * before // 6) : 8 * (before + len(value)) // 6]
