"""What is refused in the middle of a turn, and what the turn keeps of it."""

import gc
import uuid
from collections.abc import Callable
from typing import Any

from holdfast import ActorCallError, CodecError, Context, Env, HostError, LimitError, Request, StatefulActor

CAUGHT = (ActorCallError, CodecError, HostError, LimitError, RuntimeError, TypeError, ValueError)


class Refused(StatefulActor):
    """Has its calls refused, and catches that."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.activation = uuid.uuid4().hex

    def catch(self, what: str, times: int, size: int, collects: bool = True) -> list[Any]:
        """Have something refused again and again; what it was told, and how much only the collector could free."""
        refuse = self._ways()[what]
        gc.collect()
        if not collects:
            gc.disable()
        try:
            told = {self._caught(refuse, "x" * size) for _ in range(times)}
            return [sorted(told), gc.collect()]
        finally:
            gc.enable()

    def out_of_memory(self, how: str) -> None:
        """End for want of memory, in some way; what is written commits nothing."""
        if how == "alone":
            raise MemoryError
        if how == "as the reason of another":
            raise ValueError("too much") from MemoryError()
        if how == "in a group":
            raise ExceptionGroup("several", [ValueError("one"), MemoryError()])
        raise ValueError("no want of memory")

    def set_alarm(self, when: Any, then: str = "") -> str:
        """What is said of an alarm of a class that has no handler."""
        try:
            self.ctx.storage.set_alarm(when)
        except RuntimeError as error:
            return str(error)
        return "set"

    def alarms(self, info: Any = None) -> Any:
        """No handler, whatever its author meant."""
        return self.ctx.storage.get_alarm()

    def which(self) -> str:
        """The activation."""
        return self.activation

    def _ways(self) -> dict[str, Callable[[str], Any]]:
        storage, other = self.ctx.storage, self.env.PROBE.id_from_name("refuses")

        def savepoint(text: str, depth: int = 0) -> None:
            if depth > 100:
                return
            with storage.transaction():
                savepoint(text, depth + 1)

        return {
            "get": storage.get,
            "get_many": lambda text: storage.get_many([text]),
            "put": lambda text: storage.put("k", text),
            "put_key": lambda text: storage.put(text, 1),
            "put_many": lambda text: storage.put_many({"k": text}),
            "delete": storage.delete,
            "savepoint": savepoint,
            "unstorable": lambda text: storage.put("k", [text, {"deep": print}]),
            "no time": lambda text: storage.set_alarm(text),
            "call": lambda text: other.missing(text),
            "call_with_too_much": lambda text: other.length(text, text),
            "call_that_fails": lambda text: other.do_then_raise(["try", "put", text, text]),
            "fetch": lambda text: other.fetch(Request("/", "POST", {}, text)),
        }

    def _caught(self, refuse: Callable[[str], Any], text: str) -> str:
        try:
            refuse(text)
        except CAUGHT as error:
            return type(error).__name__
        return "taken"
