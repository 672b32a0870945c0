"""A worker's own exit codes, as its supervisor reads them."""

from __future__ import annotations

from typing import Final

EXIT_BUG: Final = 70  # its loop failed, which what a guest did may have caused
EXIT_STORE: Final = 74  # the outcome of a commit is unknown
EXIT_CONFIGURATION: Final = 78  # the operator's to mend; it has said what
