"""What a terminal may be shown: the one function through which every text of others goes before it is printed.

Names, keys, values, docstrings, errors and what builds say were written by somebody else, and a terminal obeys what it
is shown: escape sequences set its title and its keys, C1 controls are sequences of one character, a carriage return
writes over the line, bidirectional marks turn it around, a line break forges the next one.
"""

from __future__ import annotations

import json


def printable(text: str, *, keep: str = "", encoding: str = "utf-8") -> str:
    r"""The text on one line, with whatever is not plainly seen spelled out as JSON spells it: `\u001b`, `\n`.

    Spelled out is what Unicode calls control, format, surrogate, private or unassigned, and every space but the usual
    one; so a JSON text stays the same JSON.

    Args:
        text: any text, lone surrogates included.
        keep: characters that pass all the same.
        encoding: of the stream; what it does not have is spelled out too.
    """
    if text.isprintable() and (text.isascii() or _encodes(text, encoding)):
        return text
    return "".join(
        each if each in keep or (each.isprintable() and _encodes(each, encoding)) else json.dumps(each)[1:-1]
        for each in text
    )


def _encodes(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
