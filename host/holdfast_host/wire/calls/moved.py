"""The status of a REPLY that says: not begun, for the instance is not this worker's, or not any more.

It stays inside the host. Whoever gets it sends the call again, by the routing table that holds by then.
"""

from __future__ import annotations

from typing import Final

MOVED: Final = 421
