"""JSON text as it crosses the sandbox: UTF-8, with an escape only for a lone surrogate, which UTF-8 cannot say.

A text that was none would not cross: lowering it traps, and that costs the sandbox.
"""

from __future__ import annotations

import re
from json.encoder import encode_basestring
from typing import Final

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


def spelled(text: str) -> str:
    """JSON text with its lone surrogates escaped. They can only stand in strings, where the escape means the same."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text


def string_text(text: str) -> str:
    """A string as JSON."""
    return spelled(encode_basestring(text))
