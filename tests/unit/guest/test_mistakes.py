"""What keeps the rules and is hardly meant is told while the component is built."""

from __future__ import annotations

import enum
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from holdfast import StatefulActor
from holdfast._component import loading
from holdfast._component.lint import check_bindings, doubts
from holdfast._describe import Component, RuleError


class Account(StatefulActor):
    @staticmethod
    def parse(text: str) -> int:
        return int(text)

    @classmethod
    def opened(cls) -> str:
        return cls.__name__

    @staticmethod
    def _own() -> None: ...

    @functools.cached_property
    def limit(self) -> int:
        return 5

    @functools.lru_cache  # noqa: B019
    def known(self) -> int:
        return 5

    read = functools.partial(int, base=16)

    def balance(self) -> int:
        return 0


class Cart(StatefulActor):
    def size(self) -> int:
        return 0


class Plain:
    def size(self) -> int:
        return 0


@dataclass
class Item:
    price: int


class Size(enum.Enum):
    SMALL = "s"


class BrokenError(Exception):
    pass


def looked_at(*bound: tuple[str, str], **exported: Any) -> None:
    module = ModuleType(__name__)
    vars(module).update(exported)
    check_bindings(module, Component.of_module(module), bound)


def test_a_type_that_is_nearly_a_class_of_the_module_is_asked_about() -> None:
    with pytest.raises(RuleError, match=r"ACCOUNT leads to Acount, .* did you mean Account\?") as caught:
        looked_at(("ACCOUNT", "Acount"), Account=Account)

    assert caught.value.file == __file__


def test_a_bound_class_that_is_no_actor_is_told_with_the_line_to_write() -> None:
    with pytest.raises(RuleError, match=r"Plain, which the binding P names, .*: write class Plain\(StatefulActor\)"):
        looked_at(("P", "Plain"), Account=Account, Plain=Plain)


def test_a_reference_is_left_alone_whatever_it_resembles_once_ones_own_class_is_bound() -> None:
    looked_at(("A", "Account"), ("B", "Accounts"), ("C", "Room"), Account=Account)
    looked_at(("CARD", "Card"), Cart=Cart)  # another word
    for name, value in {"Item": Item, "Size": Size, "BrokenError": BrokenError, "Dict": dict}.items():
        looked_at(("A", "Account"), ("B", name), Account=Account, **{name: value})


def test_what_looks_like_a_public_method_and_is_none_is_named_with_its_place() -> None:
    told = doubts(Component({"Account": Account}, None))

    assert [each.rpartition("py:")[2].partition(": ")[2] for each in told] == [
        "Account.limit is a cached property: callers cannot call it; make it a method with self, or name it _limit",
        "Account.opened is a class method: callers cannot call it; make it a method with self, or name it _opened",
        "Account.parse is a static method: callers cannot call it; make it a method with self, or name it _parse",
        "Account.read is a functools.partial, which binds no self: callers cannot call it; write a method around it, "
        "or name it _read",
    ]
    assert all(each.startswith(f"{__file__}:") for each in told)


def test_a_file_that_is_still_open_is_named_as_its_author_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "open_files", lambda: ["/1/greeting.txt"])
    with pytest.raises(RuntimeError):
        loading._check_that_files_are_closed(tmp_path / "report.json", {"/1": "src"})

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["kind"] == "rule"
    assert report["message"].startswith("the file src/greeting.txt is still open at the end of the build")
