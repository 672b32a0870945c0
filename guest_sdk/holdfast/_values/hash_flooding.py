"""Keys of dicts and elements of sets that were chosen to have one hash: no set or dict is made of many of them.

Python hashes numbers modulo a known prime and compares each with all that have the same hash, so that some thousand of
its multiples, which a caller can send, take minutes to be put together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from holdfast._values.misfits import MisfitError

SAME_HASH_MAX: Final = 100  # by chance it is two or three, in a million


def check_hashes(values: Collection[Any]) -> None:
    """MisfitError where more of them have the same hash; TypeError where one has none."""
    if len(values) > SAME_HASH_MAX and max(Counter(map(hash, values)).values()) > SAME_HASH_MAX:
        raise MisfitError(f"has more than {SAME_HASH_MAX} keys or elements with the same hash")
