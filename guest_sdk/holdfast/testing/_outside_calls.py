"""Calls of stubs that a test holds: they come from outside, as those of a client do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from holdfast._host_imports import Err
from holdfast.testing._failures import RefusedError
from holdfast.testing._idempotency import checked_key

if TYPE_CHECKING:
    from holdfast.testing._runner import Runner


class OutsideCalls:
    """`holdfast:actor/calls` for stubs that a test holds: calls that come from outside."""

    def __init__(self, runner: Runner, bindings: Mapping[str, str]) -> None:
        self._runner = runner
        self._bindings = bindings

    def call(self, binding: str, name: str, method: str, arguments: str) -> str:
        try:
            record = self._runner.record(self._bindings[binding], name)
            self._runner.checks.arguments(record.label, arguments)
            return self._runner.call(record, method, arguments)[0]
        except RefusedError as failure:
            raise Err(failure.wire()) from None

    def call_once(self, binding: str, name: str, method: str, arguments: str, key: str) -> str:
        try:
            record = self._runner.record(self._bindings[binding], name)
            self._runner.checks.arguments(record.label, arguments)
            return self._runner.call(record, method, arguments, key=checked_key(key))[0]
        except RefusedError as failure:
            raise Err(failure.wire()) from None

    def call_many(self, calls: str) -> str:
        return f"[{','.join([self._outcome(each) for each in json.loads(calls)])}]"

    def _outcome(self, call: dict[str, Any]) -> str:
        arguments = json.dumps(call["arguments"], ensure_ascii=False) if "arguments" in call else ""
        target = call["binding"], call["name"], call["method"], arguments
        try:
            result = self.call_once(*target, call["key"]) if "key" in call else self.call(*target)
        except Err as error:
            return f'{{"error":{error.value}}}'
        return f'{{"result":{result}}}'

    def key(self) -> str:
        return ""

    def fetch(self, binding: str, name: str, request: str) -> str:
        try:
            record = self._runner.record(self._bindings[binding], name)
            self._runner.checks.body(f"{record.label}: a request of fetch", request)
            return self._runner.fetch(record, request)
        except RefusedError as failure:
            raise Err(failure.wire()) from None
