"""Modules that must be in the component although nobody imports them by name.

Only what was imported while a component was built exists in its sandbox. The standard library imports some modules
lazily, in the middle of a call, and so do authors: what people use is loaded here, once, while the component is built.
"""

from __future__ import annotations

import importlib
from typing import Final

# Imported by the standard library itself, inside functions.
LAZY: Final = (
    "_colorize", "_strptime", "ast", "bisect", "calendar", "copy", "encodings.ascii",
    "encodings.idna", "encodings.latin_1", "encodings.raw_unicode_escape", "encodings.unicode_escape",
    "encodings.utf_8_sig", "encodings.utf_16", "encodings.utf_16_be", "encodings.utf_16_le", "encodings.utf_32",
    "encodings.cp1252", "encodings.punycode", "keyword", "linecache", "locale", "quopri", "stringprep", "textwrap",
    "token", "tokenize", "traceback", "unicodedata", "warnings", "zoneinfo._common", "zoneinfo._tzpath",
)  # fmt: skip

# Imported by authors, often inside functions.
USUAL: Final = (
    "abc", "array", "base64", "binascii", "cmath", "collections", "collections.abc", "colorsys", "contextlib",
    "contextvars", "csv", "dataclasses", "datetime", "decimal", "difflib", "enum", "fnmatch", "fractions", "functools",
    "graphlib", "hashlib", "heapq", "hmac", "html", "html.parser", "http", "http.cookies", "inspect", "io", "ipaddress",
    "itertools", "json", "logging", "math", "numbers", "operator", "pprint", "random", "re", "reprlib", "secrets",
    "statistics", "string", "struct", "time", "types", "typing", "urllib.parse", "uuid", "weakref", "zlib", "zoneinfo",
)  # fmt: skip


def preload() -> None:
    """Import all of them; what this Python does not have is left out."""
    for name in (*LAZY, *USUAL):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    # What a zone or a codec lookup caches is cached with the component.
    "".encode("idna")
    "x".encode("punycode")
