"""Dates and times as text, with what ISO 8601 has no room for in brackets behind it, as RFC 9557 has them.

`[Europe/Berlin]` is a zone with rules, `[_name=CET]` what a zone of one offset calls itself, `[_fold=1]` the second of
two equal times of day where the offset does not tell. A reader that knows none of them has the moment all the same.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import islice
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote
from zoneinfo import ZoneInfo

from holdfast._values.misfits import MisfitError

_FOLD: Final = "_fold=1"
_NAME: Final = "_name="
_BRACKETS: Final = re.compile(r"\[([^\[\]]*)\]")
_BRACKETS_MAX: Final = 8  # more say nothing that is read here
_KEY_CHARS_MAX: Final = 100
# Python's own fromisoformat() takes an offset of microseconds alone for none.
_MICROSECONDS_ALONE: Final = re.compile(r"([+-])00:00:00\.([0-9]{6})$")
_Moment = TypeVar("_Moment", datetime, time)


def datetime_text(value: datetime) -> str:
    """Reads back as the same time of day, fold, offset and name; MisfitError where its zone has no offset for it."""
    zone = value.tzinfo
    if zone is None or zone is UTC:
        return f"{value.isoformat()}[{_FOLD}]" if value.fold else value.isoformat()
    offset = value.utcoffset()
    if offset is None:
        raise MisfitError("is a datetime in a zone that gives it no offset: use datetime.timezone or zoneinfo.ZoneInfo")
    key = _key_of(zone)
    told = key != "" and value.fold == 1 and value.replace(fold=0).utcoffset() != offset
    return f"{value.isoformat()}{_brackets(key, _name_of(value), offset, value.fold == 1 and not told)}"


def time_text(value: time) -> str:
    """Reads back as the same time of day, fold, offset and name; MisfitError where its offset depends on the date."""
    if value.tzinfo is None:
        return f"{value.isoformat()}[{_FOLD}]" if value.fold else value.isoformat()
    offset = value.utcoffset()
    if offset is None:
        raise MisfitError("is a time in a zone whose offset depends on the date: use a datetime")
    return f"{value.isoformat()}{_brackets(_key_of(value.tzinfo), _name_of(value), offset, value.fold == 1)}"


def read_datetime(text: str) -> datetime:
    """What `datetime_text` wrote; of a zone that is not known here the offset."""
    iso, bracket, rest = text.partition("[")
    found = _with_offset(datetime.fromisoformat(iso), iso)
    if not bracket:
        return found
    for item in _items(bracket + rest):
        if item == _FOLD:
            found = _folded(found)
        elif item.startswith(_NAME):
            found = _named(found, item)
        elif "=" not in item:
            found = _in_zone(found, item)
    return found


def read_time(text: str) -> time:
    """What `time_text` wrote; of a zone that is not known here the offset."""
    iso, bracket, rest = text.partition("[")
    found = _with_offset(time.fromisoformat(iso), iso)
    for item in _items(bracket + rest):
        if item == _FOLD:
            found = _folded(found)
        elif item.startswith(_NAME):
            found = _named(found, item)
        elif "=" not in item and (zone := _known_zone(item)) is not None:
            local = found.replace(tzinfo=zone)
            found = local if local.utcoffset() == found.utcoffset() else found
    return found


def _key_of(zone: tzinfo) -> str:
    return zone.key or "" if isinstance(zone, ZoneInfo) else ""


def _name_of(value: datetime | time) -> str | None:
    try:
        return value.tzname()
    except NotImplementedError:  # a zone of the author's own that has an offset only
        return None


def _brackets(key: str, name: str | None, offset: timedelta, fold: bool) -> str:
    text = f"[{key}]" if key else ""
    if not key and name is not None and name != timezone(offset).tzname(None):
        text = f"[{_NAME}{quote(name, safe='', errors='surrogatepass')}]"
    return f"{text}[{_FOLD}]" if fold else text


def _with_offset(found: _Moment, iso: str) -> _Moment:
    alone = _MICROSECONDS_ALONE.search(iso) if "." in iso[-7:] else None
    if alone is None or found.tzinfo is None:
        return found
    span = timedelta(microseconds=int(alone[2]))
    return found.replace(tzinfo=timezone(-span if alone[1] == "-" else span))


def _folded(found: _Moment) -> _Moment:
    """The second of the two, unless that is another moment by now: rules of zones change."""
    second = found.replace(fold=1)
    return second if second.utcoffset() == found.utcoffset() else found


def _items(text: str) -> list[str]:
    return [each[1] for each in islice(_BRACKETS.finditer(text), _BRACKETS_MAX)]


def _named(found: _Moment, item: str) -> _Moment:
    offset = found.utcoffset()
    if offset is None:
        return found
    name = unquote(item.removeprefix(_NAME), errors="surrogatepass")
    return found.replace(tzinfo=timezone(offset, name))


def _in_zone(found: datetime, key: str) -> datetime:
    """The same time of day in the zone where it has that offset, as in an hour that a clock skips; else the moment."""
    zone = _known_zone(key)
    if zone is None or found.tzinfo is None:
        return found
    for fold in (0, 1):
        local = found.replace(tzinfo=zone, fold=fold)
        if local.utcoffset() == found.utcoffset():
            return local
    return found.astimezone(zone)


@lru_cache(maxsize=256)
def _known_zone(key: str) -> Any:
    try:
        return ZoneInfo(key) if len(key) <= _KEY_CHARS_MAX else None
    except Exception:
        return None  # none of that name, none in this component, or no name of a zone at all
