"""An actor for tests: each method does one thing that a guarantee or a limit is about."""

import json
import time
import uuid
from typing import Any

from holdfast import ActorError, AlarmInfo, Context, Env, StatefulActor


class Probe(StatefulActor):
    """Reads, writes, computes, fails, on demand."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.activation = str(uuid.uuid4())
        self.turns = 0
        self.inside = 0

    # What is in memory.

    def nothing(self) -> None:
        """The smallest turn."""

    def echo(self, value: Any) -> Any:
        return value

    def activation_id(self) -> str:
        """A text that no other activation has."""
        return self.activation

    def count_in_memory(self) -> int:
        """How many times this activation was asked."""
        self.turns += 1
        return self.turns

    def greeting(self) -> str:
        return str(self.env.GREETING)

    # Storage, plainly.

    def get(self, key: str, default: Any = None) -> Any:
        return self.ctx.storage.get(key, default)

    def put(self, key: str, value: Any) -> None:
        self.ctx.storage.put(key, value)

    def put_many(self, values: dict[str, Any]) -> None:
        self.ctx.storage.put_many(values)

    def delete(self, key: str) -> bool:
        return self.ctx.storage.delete(key)

    def delete_all(self, keep_alarm: bool = False) -> None:
        self.ctx.storage.delete_all(keep_alarm=keep_alarm)

    def page(self, prefix: str = "", limit: int = 128) -> dict[str, Any]:
        return self.ctx.storage.list(prefix=prefix, limit=limit)

    def everything(self) -> dict[str, Any]:
        return dict(self.ctx.storage.scan())

    def put_big(self, key: str, length: int) -> None:
        """Write a text of that many characters."""
        self.ctx.storage.put(key, "x" * length)

    def get_big(self, key: str) -> int:
        """The length of what `put_big` wrote."""
        return len(self.ctx.storage.get(key, ""))

    # Storage, with something to get wrong.

    def increment(self, key: str = "n", by: int = 1) -> int:
        """Read, add, write: two of them at once would lose one."""
        value: int = self.ctx.storage.get(key, 0) + by
        self.ctx.storage.put(key, value)
        return value

    def slow_increment(self, seconds: float, key: str = "n") -> int:
        """The same with time between read and write."""
        value: int = self.ctx.storage.get(key, 0) + 1
        self.spin(seconds)
        self.ctx.storage.put(key, value)
        return value

    def debit(self, amount: int) -> dict[str, Any]:
        """Check, then act."""
        balance: int = self.ctx.storage.get("balance", 0)
        if balance < amount:
            return {"ok": False, "balance": balance}
        self.ctx.storage.put("balance", balance - amount)
        return {"ok": True, "balance": balance - amount}

    def apply(self, token: str) -> int:
        """Count a token once per turn that ran, in three keys that one commit carries."""
        times: int = self.ctx.storage.get(f"token:{token}", 0) + 1
        self.ctx.storage.put(f"token:{token}", times)
        for side in ("left", "right"):
            self.ctx.storage.put(side, self.ctx.storage.get(side, 0) + 1)
        return times

    def applied(self) -> dict[str, Any]:
        """What `apply` left: how often each token counted, and both sums."""
        tokens = {key[6:]: times for key, times in self.ctx.storage.scan(prefix="token:")}
        return {
            "tokens": tokens,
            "left": self.ctx.storage.get("left", 0),
            "right": self.ctx.storage.get("right", 0),
        }

    def remember_and_put(self, key: str, value: Any) -> None:
        """Write to memory and to storage."""
        setattr(self, f"memory_{key}", value)
        self.ctx.storage.put(key, value)

    def remembered(self, key: str) -> dict[str, Any]:
        """What memory says, and what storage says."""
        return {"memory": getattr(self, f"memory_{key}", None), "storage": self.ctx.storage.get_many([key]).get(key)}

    # Turns that end badly after a write.

    def put_then_raise(self, key: str, value: Any) -> None:
        setattr(self, f"memory_{key}", value)
        self.ctx.storage.put(key, value)
        raise ValueError("raised on purpose")

    def put_then_refuse(self, key: str, value: Any) -> None:
        self.ctx.storage.put(key, value)
        raise ActorError("refused on purpose", code="on_purpose", status=418)

    def put_then_trap(self, key: str, value: Any) -> None:
        """Recursion in C is no exception: it ends the sandbox."""
        setattr(self, f"memory_{key}", value)
        self.ctx.storage.put(key, value)
        self.trap()

    def put_then_spin(self, key: str, value: Any, seconds: float) -> None:
        self.ctx.storage.put(key, value)
        self.spin(seconds)

    def put_then_exceed(self, key: str, value: Any) -> None:
        """Pass the limit of a value's size, uncaught."""
        self.ctx.storage.put(key, value)
        self.ctx.storage.put("too big", "x" * (2 << 20))

    def put_then_return_too_much(self, key: str, value: Any) -> str:
        self.ctx.storage.put(key, value)
        return "x" * (2 << 20)

    def trap(self) -> None:
        json.loads("[" * 200_000 + "]" * 200_000)

    def raise_only(self) -> None:
        raise ValueError("raised on purpose")

    # sync() and transaction().

    def put_sync_put_raise(self, first: Any, second: Any) -> None:
        """What is synced stays, what came after it goes."""
        self.ctx.storage.put("first", first)
        self.ctx.storage.sync()
        self.ctx.storage.put("second", second)
        raise ValueError("raised on purpose")

    def put_sync_spin(self, key: str, value: Any, seconds: float) -> None:
        self.ctx.storage.put(key, value)
        self.ctx.storage.sync()
        self.spin(seconds)

    def discard_in_transaction(self, key: str, kept: Any, discarded: Any) -> Any:
        """Write, then write again in a block that fails: the first one stays."""
        self.ctx.storage.put(key, kept)
        try:
            with self.ctx.storage.transaction():
                self.ctx.storage.put(key, discarded)
                self.raise_only()
        except ValueError:
            pass
        return self.ctx.storage.get(key)

    # The alarm.

    def arm(self, token: int, in_s: float) -> None:
        """Set the alarm, and remember for which token."""
        self.ctx.storage.put("armed", token)
        self.ctx.storage.set_alarm(time.time() + in_s)

    def disarm(self) -> None:
        self.ctx.storage.delete("armed")
        self.ctx.storage.delete_alarm()

    def empty(self) -> None:
        """Delete every key but the one that says for what the alarm is set; the alarm stays."""
        armed = self.ctx.storage.get("armed")
        self.ctx.storage.delete_all(keep_alarm=True)
        if armed is not None:
            self.ctx.storage.put("armed", armed)

    def alarm(self, info: AlarmInfo) -> None:
        """Note the token that it was set for; the first attempt of every fifth token raises after that."""
        token = self.ctx.storage.get("armed")
        self.ctx.storage.put("rung", [*self.ctx.storage.get("rung", []), token])
        self.ctx.storage.delete("armed")
        if token is not None and token % 5 == 0 and not info.is_retry:
            raise ValueError("raised on purpose")

    # Time and space.

    def spin(self, seconds: float) -> None:
        """Compute, and call nothing."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def overlap(self, seconds: float) -> int:
        """How many turns of this activation were inside at once, at most 1 if they take turns."""
        self.inside += 1
        most = self.inside
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            most = max(most, self.inside)
        self.inside -= 1
        return most

    def storage_loop(self, seconds: float) -> int:
        """Call the host all the time; how often."""
        end = time.monotonic() + seconds
        calls = 0
        while time.monotonic() < end:
            self.ctx.storage.get("n")
            calls += 1
        return calls

    def read_twice(self, key: str, seconds: float) -> list[Any]:
        """The same key before and after a while."""
        before = self.ctx.storage.get(key)
        self.spin(seconds)
        return [before, self.ctx.storage.get(key)]

    def fill_memory(self, mib: int) -> int:
        """Hold that much memory; MemoryError is what Python says at the limit."""
        self.held = [bytearray(1 << 20) for _ in range(mib)]
        return len(self.held)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def say(self, lines: int, text: str = "") -> None:
        for number in range(lines):
            print(text or f"line {number}")


class Fragile(StatefulActor):
    """Its constructor writes, and fails as long as the name begins with 'bad'."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        made: int = self.ctx.storage.get("made", 0) + 1
        self.ctx.storage.put("made", made)
        if self.ctx.name.startswith("bad"):
            raise ValueError("cannot be made")

    def made(self) -> int:
        """How many constructors of this instance committed."""
        made: int = self.ctx.storage.get("made", 0)
        return made

    def made_then_raise(self) -> None:
        raise ValueError("raised on purpose")
