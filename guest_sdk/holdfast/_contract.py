"""Which version of `wit/` this SDK is built against: the place where the next minor version begins on the guest's side.

A component built with it exports every function of `instance`, for componentize-py exports an interface whole; a new
one is a method of `Guest` and a name in EXPORTS. A new interface of imports is a Protocol in `_host_imports`, and a
field of HostImports that the test kit fills too.
"""

from __future__ import annotations

from typing import Final

CONTRACT_VERSION: Final = "1.1.0"
EXPORTS: Final = ("describe", "activate", "call", "alarm", "fetch")
