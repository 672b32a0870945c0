"""Values whose texts are kept in `tests/fixtures/values`, as each version of the encoding wrote them."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

KEPT_VALUES: Final[dict[str, Any]] = {
    "null": None,
    "true": True,
    "integer": -(2**63),
    "integer of 400 digits": 10**400,
    "integer of 4,400 digits": 10**4400,
    "float": 0.1,
    "negative zero": -0.0,
    "not a number": math.nan,
    "infinity": -math.inf,
    "text": 'é名\U0001f600\x00\n"\\\u2028',
    "lone surrogates": "a\ud800b\udfff",
    "list": [1, [2, {"a": None}]],
    "object": {"b": 1, "ä": "ö", "名": ["前"]},
    "object with the tag": {"$hf": "date", "v": "2026-11-01"},
    "keys of all kinds": {1: "a", None: "b", (1, "é"): "c", frozenset({2}): "d", date(2026, 11, 1): "e"},
    "bytes": b"\x00\xff",
    "datetime": datetime(2026, 11, 1, 12, 30, 15, 123456, UTC),
    "local datetime": datetime(2026, 11, 1, 12, 30),
    "datetime with an offset": datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=5, minutes=30))),
    "datetime in a zone": datetime(2026, 10, 25, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
    "date": date(2026, 11, 1),
    "time": time(12, 30),
    "time with an offset": time(12, 30, tzinfo=timezone(timedelta(hours=-3))),
    "timedelta": timedelta(days=-1, seconds=5, microseconds=7),
    "decimal": Decimal("1.10"),
    "decimal with an exponent": Decimal("1E+3"),
    "decimal that is none": Decimal("-Infinity"),
    "uuid": UUID(int=255),
    "set": {3, 1, "é"},
    "frozenset": frozenset({"b", (1, 2)}),
    "tuple": (1, ("zwei", [])),
}
