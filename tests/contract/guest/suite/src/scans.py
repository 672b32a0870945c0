"""Scans over what is written while they go on."""

from collections.abc import Callable
from typing import Any

from holdfast import StatefulActor


class Scans(StatefulActor):
    """Writes in the middle of its scans."""

    def fill(self, count: int) -> None:
        self.ctx.storage.put_many({f"k{number:04}": number for number in range(count)})

    def scan(self, at: str, steps: list[Any], filters: dict[str, Any]) -> list[Any]:
        """What a scan shows that runs these steps when it has shown the key `at`."""
        seen = []
        for key, value in self.ctx.storage.scan(**filters):
            seen.append([key, value])
            if key == at:
                for step in steps:
                    self._step(*step)
        return seen

    def delete_the_next(self, reverse: bool) -> list[str]:
        """Each key that is shown deletes the one behind it."""
        seen = []
        for key, value in self.ctx.storage.scan(reverse=reverse):
            seen.append(key)
            self.ctx.storage.delete(f"k{value + (-1 if reverse else 1):04}")
        return seen

    def grow(self, steps: int) -> list[str]:
        """Each key that is shown writes the one after it, so many times."""
        self.ctx.storage.put("g000", 0)
        seen = []
        for key, value in self.ctx.storage.scan(prefix="g"):
            seen.append(key)
            if value < steps:
                self.ctx.storage.put(f"g{value + 1:03}", value + 1)
        return seen

    def convert(self) -> list[Any]:
        """Write each value anew as it is shown: what lies behind is not shown again."""
        shown = 0
        for key, value in self.ctx.storage.scan():
            self.ctx.storage.put(key, [value])
            shown += 1
        return [shown, all(isinstance(value, list) for _, value in self.ctx.storage.scan())]

    def two_at_once(self) -> list[Any]:
        """One scan deletes, the other one is in the middle of its page; then nobody scans any more."""
        storage = self.ctx.storage
        first, second = storage.scan(), storage.scan(reverse=True)
        seen = [next(first)[0], next(second)[0]]
        storage.delete("k0001")
        storage.delete("k0008")
        seen += [next(first)[0], next(second)[0]]
        first.close()  # type: ignore[attr-defined]
        storage.delete("k0005")
        return [*seen, [key for key, _ in second]]

    def begin(self) -> str:
        """Keep a scan for the next turn."""
        self.kept = self.ctx.storage.scan()
        return next(self.kept)[0]

    def go_on(self) -> list[Any]:
        return [[key, value] for key, value in self.kept]

    def do(self, *steps: list[Any]) -> None:
        for step in steps:
            self._step(*step)

    def _step(self, name: str, *arguments: Any) -> None:
        if name == "undo":
            try:
                with self.ctx.storage.transaction():
                    self.do(*arguments)
                    raise LookupError  # noqa: TRY301
            except LookupError:
                return
        method: Callable[..., Any] = getattr(self.ctx.storage, name)
        method(*arguments)
