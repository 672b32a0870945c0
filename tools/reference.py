"""Writes the pages of docs/ that follow from the code: `python tools/reference.py`.

docs/api.md from the SDK's docstrings, docs/errors.md and docs/limits.md from the host's tables, and
docs/internals/on-disk.md from the modules that own the formats. A test says when a page is not what this would write.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import holdfast
from holdfast import client, http, testing
from holdfast_host.core import errors, limits
from holdfast_host.storage.lmdb import keys
from holdfast_host.supervisor.directory import layout as datadir

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"

_ON_DISK: Final = """\
# On disk

Everything is in the data directory. One host at a time holds its lock, until its last process has gone.

```
{folders}
```

The directory's format, each partition's, the registry's, a spool's and an [archive](archive.md)'s have versions of
their own. A release that does not know one says so and does not touch it. [Formats](formats.md) has all of them.

## A partition

A partition is one LMDB environment. The first byte of a key says what the row is; numbers in keys are big-endian, so
that rows sort by them, numbers in values little-endian.

{rows}

{rest}

## A commit

All batches of a group go into one transaction, which also checks the partition's epoch and records the group's number;
one sync, and the group is durable. What happens when it does not fit is in `storage/lmdb/commits.py`, how a million
keys are deleted without stopping anybody in `storage/lmdb/garbage.py`.

A worker that opens a partition first makes one synced commit that raises the epoch. That keeps out a predecessor, and
makes durable what one that was killed between writing and flushing had left visible.
"""

_ERRORS: Final = """\
# Errors

A failed call is answered with a status and `{"error": {"name": "...", "message": "...", "retryable": false}}`, plus
`code` where the actor gave one. `retryable` says that the same call may succeed later *and* is known to have committed
nothing.

Each such answer of the host has the header `Holdfast-Request-Id`, under which [the host's log](operating.md#the-log)
has it.

Refuse in your own words with `ActorError`; anything else that a method raises is an `ActorMethodError`, whose traceback
goes to the log and never to the caller:

```python
import json

from holdfast import ActorError, StatefulActor
from holdfast.testing import LocalHost


class Account(StatefulActor):
    def debit(self, amount: int) -> None:
        if amount > 100:
            raise ActorError("insufficient funds", code="insufficient_funds", status=409)
        raise ValueError("no such amount")


host = LocalHost({"ACCOUNT": Account})
refused = host.post(Account, "alice", "debit", [500])
assert (refused.status, refused.value["error"]["code"]) == (409, "insufficient_funds")

failed = host.post(Account, "alice", "debit", [5])
assert (failed.status, failed.value["error"]["message"]) == (500, "ValueError: no such amount")
```

A body may come with the `Content-Encoding` gzip or deflate, once, and grow a hundredfold; a deploy comes without. Any
other coding is a `BadRequestError` with the status 415 and `Accept-Encoding`. A number that no float can hold, like
`1e400`, is refused as `NaN` is.

Other statuses than the table's: a `BadRequestError` is 408 where a body comes too slowly, 426 where nobody takes a
WebSocket and 501 for a transfer coding besides `chunked`; a `CodecError` is 400 where typed arguments cannot be read;
an `ActorMethodError` is 502 where a socket's handshake fails.

In an actor or a function a failed call raises `ActorCallError` with `name`, `message`, `code`, `retryable`. Two of them
mean something precise: after `HostUnavailableError` nothing was committed, call again; after `ActorOutputGateError` the
outcome is unknown, or known and its result lost, so look before you repeat. A call under an
[idempotency key](idempotency.md) may be repeated after either. Answers with 429 and 503 say `Retry-After: 1`.

| name | status | retry | when |
| --- | --- | --- | --- |
"""

_LIMITS: Final = """\
# Limits

Errors quote the value and the limit. An operator changes a limit with `holdfast serve --limit NAME=VALUE`; `[limits]`
in `holdfast.toml` lowers memory and time for one function. Names end in their unit. What a format or the engine bounds,
like the length of keys and names, can only be lowered, `receipt_s` not below eight hours. No time is past 2000000 s.
SIGHUP changes those that say so [while the host runs](operating.md#settings), for what begins from then on.

In a test, lower a limit to meet it sooner:

```python
import pytest

from holdfast import ActorCallError, StatefulActor
from holdfast.testing import Limits, LocalHost


class Notes(StatefulActor):
    def keep(self, text: str) -> None:
        self.ctx.storage.put("text", text)


host = LocalHost({"NOTES": Notes}, limits=Limits(value_bytes_max=100))
notes = host.env.NOTES.id_from_name("a")
notes.keep("short")
with pytest.raises(ActorCallError, match="LimitError.*100"):
    notes.keep("long" * 100)
```
"""

_API: Final = """\
# API reference

What `import holdfast` offers, from its docstrings; then `holdfast.http`, `holdfast.client` and `holdfast.testing`.

```python
from holdfast import StatefulActor
from holdfast.testing import LocalHost


class Greeter(StatefulActor):
    def greet(self) -> str:
        return f"{self.env.GREETING}, {self.ctx.name}"


host = LocalHost({"GREETER": Greeter}, variables={"GREETING": "hello"})
assert host.env.GREETER.id_from_name("ann").greet() == "hello, ann"
```
"""


def api_page() -> str:
    """docs/api.md."""
    parts = [_API]
    for name, value in public_names().items():
        parts += _described(name, value)
    return "\n".join(parts)


def public_names() -> dict[str, Any]:
    """What the page describes, each under the name that its heading has."""
    modules = ((holdfast, ""), (http, "http."), (client, "client."), (testing, "testing."))
    return {f"{prefix}{name}": getattr(module, name) for module, prefix in modules for name in sorted(module.__all__)}


def public_members(value: type) -> dict[str, Any]:
    """Methods and properties of a class, those of its bases among them that have no heading of their own."""
    found: dict[str, Any] = {}
    for kind in (*reversed(_bases(value)), value):
        found |= vars(kind)
    return {
        name: member
        for name, member in sorted(found.items())
        if not name.startswith("_")
        and name not in {"from_wire", "to_wire"}  # the SDK's own
        and (isinstance(member, (property, classmethod)) or inspect.isfunction(member))
    }


def _bases(value: type) -> list[type]:
    """Those of the SDK that have no heading of their own."""
    described = public_names().values()
    return [kind for kind in value.__mro__[1:] if kind.__module__.startswith("holdfast.") and kind not in described]


def errors_page() -> str:
    """docs/errors.md."""
    rows = [
        f"| `{kind.__name__}` | {'400-499' if kind is errors.ActorError else kind.default_status} "
        f"| {'yes' if kind.default_retryable else ''} | {_sentence(kind)} |"
        for kind in _leaves(errors.HoldfastError)
        if kind is not errors.ConfigurationError
    ]
    return _ERRORS + "\n".join(rows) + "\n"


def limits_page() -> str:
    """docs/limits.md: the groups of core/limits.py with their comments."""
    lines = [_LIMITS]
    for line in inspect.getsource(limits.Limits).splitlines():
        if found := re.fullmatch(r"    # (.*)", line):
            if lines[-1].startswith("|") or lines[-1] == _LIMITS:
                lines += ["", found[1]]
            else:
                lines[-1] += f" {found[1]}"
        elif found := re.fullmatch(r"    (\w+): \w+ = [^#]*(?:# (.*))?", line):
            if not lines[-1].startswith("|"):
                lines += ["", "| limit | default | SIGHUP | |", "| --- | --- | --- | --- |"]
            taken = "yes" if found[1] in limits.RELOADED else ""
            lines.append(f"| `{found[1]}` | {_shown(found[1])} | {taken} | {found[2] or ''} |")
    return "\n".join(lines) + "\n"


def on_disk_page() -> str:
    """docs/internals/on-disk.md, from the docstrings of the modules that own the formats."""
    directory = inspect.getdoc(datadir) or ""
    rows, rest = (inspect.getdoc(keys) or "").partition("\n\n| row ")[2].split("`number` is", 1)
    folders = directory[directory.index("lock ") :]
    return _ON_DISK.format(folders=folders, rows="| row " + rows.strip(), rest="`number` is" + rest)


_ATTRIBUTES: Final = "**Attributes**\n\n"


def _described(name: str, value: Any) -> Iterator[str]:
    if not isinstance(value, type):
        yield f"## {name}{_signature(value)}\n"
        yield _docstring(value)
        return
    yield f"## {name}\n"
    inherited = "".join(_docstring(kind).partition(_ATTRIBUTES)[2] for kind in _bases(value))
    own = _docstring(value)
    yield own + (inherited if not inherited or _ATTRIBUTES in own else f"\n\n{_ATTRIBUTES}{inherited}")
    for attribute, member in public_members(value).items():
        function = member.__func__ if isinstance(member, classmethod) else member
        yield f"### {name}.{attribute}{'' if isinstance(member, property) else _signature(function)}\n"
        yield _docstring(function)


def _docstring(thing: Any) -> str:
    """Its docstring, with the sections of Google's style as lists, and examples as they stand."""
    text = inspect.getdoc(thing) or ""
    out: list[str] = []
    section = ""
    for line in text.splitlines():
        if re.fullmatch(r"(Args|Raises|Returns|Attributes|Example)( \([^)]*\))?:", line):
            section = line.split(":")[0].split()[0]
            out += ["", f"**{line[:-1]}**", ""]
        elif section and section != "Example" and (found := re.fullmatch(r" {4}(\w[\w, ]*): (.*)", line)):
            out.append(f"- `{found[1]}`: {found[2]}")
        elif section == "Example" or not section:
            out.append(line)
        else:
            out.append(f"  {line.strip()}" if line.strip() else "")
            section = section if line.strip() else ""
    return "\n".join(out).rstrip() + "\n"


class _Bare(str):
    """An annotation as its author wrote it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_bare(each.annotation))
        for each in signature.parameters.values()
        if each.name not in {"self", "cls"}
    ]
    text = str(signature.replace(parameters=parameters, return_annotation=_bare(signature.return_annotation)))
    return re.sub(r"<object object at 0x\w+>", "...", text).replace(" -> None", "")  # a default that stands for none


def _bare(annotation: Any) -> Any:
    return _Bare(annotation) if isinstance(annotation, str) else annotation


def _sentence(kind: type[Exception]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def _leaves(kind: Any) -> Iterator[Any]:
    # Those of the one module: what else is loaded, a build's errors or a test's, is not part of the contract.
    below = [each for each in kind.__subclasses__() if getattr(errors, each.__name__, None) is each]
    if not below:
        yield kind
    for each in sorted(below, key=lambda kind: kind is errors.InternalError):  # the last of the tree
        yield from _leaves(each)


def _shown(name: str) -> str:
    value = getattr(limits.Limits(), name)
    if "bytes" in name and value and not value % limits.KIB:
        for unit, size in (("GiB", limits.GIB), ("MiB", limits.MIB), ("KiB", limits.KIB)):
            if not value % size:
                return f"{value // size} {unit}"
    if name.endswith("_s"):
        return f"{value:g} s"
    return f"{value:,} bytes" if "bytes" in name else f"{value:,}"


PAGES: Final = {
    "api.md": api_page,
    "errors.md": errors_page,
    "limits.md": limits_page,
    "internals/on-disk.md": on_disk_page,
}


def main() -> None:
    """Write them."""
    for name, page in PAGES.items():
        (DOCS / name).write_text(page(), "utf-8")


if __name__ == "__main__":
    main()
