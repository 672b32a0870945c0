"""Text that takes over a terminal, and the look for it in what a command has printed."""

from __future__ import annotations

import re
from typing import Final

# A title, colours, a C1 sequence, bidirectional marks, moves within the line, invisible marks, a byte that is no UTF-8.
LINE: Final = "\x1b]0;owned\x07\x1b[31;7;5mred\x9b2J\x85\u202egnp\u2066\u2028over\rwrite\b\x7f\u200b\ufeff\udc9b"
# ... and a line that is to look like the command's own; without the byte it is any name.
EVIL: Final = f"{LINE}\nFORGED"
NAME: Final = EVIL.replace("\udc9b", "")

_RAW: Final = frozenset(each for each in LINE if not each.isprintable())
_OURS: Final = re.compile(r"\x1b\[(?:[0-9;]*m|\?25[lh]|[0-9]*[AKJ])|\r")  # rich's and click's colours and bars
_THEIRS: Final = "\x1b[31;7;5m"


def faults(shown: str, *, terminal: bool = False) -> list[str]:
    """What of the text came through: characters that steer, lines that are forged. Colours are a terminal's own."""
    found = ["their colours"] if _THEIRS in shown else []
    plain = _OURS.sub("", shown) if terminal else shown
    found += sorted(ascii(each) for each in _RAW & set(plain))
    found += ["a forged line"] if re.search(r"^\s*FORGED", plain, re.MULTILINE) else []
    return found
