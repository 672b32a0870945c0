"""The forms and levels of the host's log, by the names that people give them; what writes it is `logs`."""

from __future__ import annotations

import logging
from typing import Final

FORMATS: Final = ("text", "json")
LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
