"""Several calls at once, gathered and awaited."""

import asyncio
import contextlib
from typing import Any

from holdfast import ActorCallError, StatefulActor, gather


class Gathering(StatefulActor):
    """Has others of its kind count, several at once."""

    def add(self, by: int = 1, fail: bool = False) -> dict[str, Any]:
        total = self.ctx.storage.get("total", 0) + by
        self.ctx.storage.put("total", total)
        if fail:
            raise ValueError(f"as asked by {by}")
        return {"total": total, "tuple": (total,)}

    def total(self) -> int:
        return int(self.ctx.storage.get("total", 0))

    def all(self, names: list[str], in_place: bool = False, fails: str = "") -> list[Any]:
        """What each says to `add(by=its place)`; an error as its name and sentence."""
        calls = [self._at(name).start.add(at, fail=name == fails) for at, name in enumerate(names)]
        try:
            outcomes = self.ctx.gather(*calls, return_exceptions=in_place)
        except ActorCallError as error:
            outcomes = [error]
        return [[each.name, each.message] if isinstance(each, ActorCallError) else each["total"] for each in outcomes]

    def length(self, text: str) -> int:
        return len(text)

    def repeat(self, count: int) -> str:
        return "x" * count

    def large(self, name: str, method: str, counts: list[int]) -> list[Any]:
        """Several with large arguments or results; how long each is, or the name of its error."""
        start = self._at(name).start
        calls = [start.repeat(each) if method == "repeat" else start.length("x" * each) for each in counts]
        try:
            outcomes = gather(*calls, return_exceptions=True)
        except ActorCallError as error:
            return [error.name, error.message, *gather(*calls[:2])]
        return [each.name if isinstance(each, ActorCallError) else len(each) for each in outcomes]

    def types(self, name: str) -> list[str]:
        """Results keep their types."""
        return [type(each["tuple"]).__name__ for each in gather(self._at(name).start.add(), self._at(name).start.add())]

    def nothing(self) -> list[Any]:
        return gather()

    def keyed(self, name: str) -> list[int]:
        calls = [self._at(name).once(key).start.add() for key in ("k", "k", "l")]
        return [each["total"] for each in gather(*calls)]

    def misuse(self, how: str, name: str) -> list[str]:
        """What is said to what cannot work; and that nothing was called."""
        call = self._at(name).start.add()
        try:
            if how == "twice":
                gather(call, call)
            elif how == "again":
                gather(call)
                gather(call)
            elif how == "many":
                gather(*[self._at(name).start.add() for _ in range(65)])
            elif how == "result":
                gather(self._at(name).add())
            elif how == "argument":
                gather(self._at(name).start.add(object()))
            elif how == "private":
                gather(self._at(name).start._add())
            elif how == "once":
                gather(self._at(name).start.once("k").add())
            elif how == "fetch":
                gather(self._at(name).start.fetch(None))
        except Exception as error:
            return [type(error).__name__, str(error)]
        return ["it worked"]

    async def awaited(self, names: list[str]) -> list[int]:
        """Calls that are awaited one by one, and together."""
        first = await self._at(names[0]).start.add()
        others = await asyncio.gather(*[self._at(name).start.add() for name in names])
        return [each["total"] for each in (first, *others)]

    async def awaited_in_tasks(self, names: list[str]) -> list[int]:
        """Tasks that each make several calls, one after another."""

        async def twice(name: str) -> int:
            await self._at(name).start.add()
            result: int = (await self._at(name).start.add())["total"]
            return result

        return list(await asyncio.gather(*[twice(name) for name in names]))

    async def awaited_many(self, name: str, count: int) -> int:
        results: list[Any] = await asyncio.gather(*[self._at(name).start.add() for _ in range(count)])
        return max([int(each["total"]) for each in results])

    async def awaited_failing(self, name: str) -> list[Any]:
        """One of several fails: the others go on."""
        calls = [self._at(name).start.add(by, fail=by == 2) for by in (1, 2, 3)]
        results: list[Any] = await asyncio.gather(*calls, return_exceptions=True)
        return [each.name if isinstance(each, ActorCallError) else each["total"] for each in results]

    async def awaited_twice(self, name: str) -> list[str]:
        """Two tasks await one call, and a third one another."""

        async def wait_for(call: Any) -> int:
            result: int = (await call)["total"]
            return result

        same, other = self._at(name).start.add(), self._at(name).start.add()
        tasks = [wait_for(each) for each in (same, same, other)]
        return [type(each).__name__ for each in await asyncio.gather(*tasks, return_exceptions=True)]

    async def gathered_while_awaited(self, name: str) -> list[str]:
        """A call is awaited, and given to gather before it has left; another one is awaited beside."""
        call, other = self._at(name).start.add(), self._at(name).start.add()

        async def wait_for(call: Any) -> int:
            result: int = (await call)["total"]
            return result

        async def give() -> None:
            await asyncio.sleep(0)
            gather(call)

        done = await asyncio.gather(wait_for(call), give(), wait_for(other), return_exceptions=True)
        return [type(each).__name__ for each in done]

    async def cancelled(self, name: str) -> list[Any]:
        """An await that is cancelled before its call has left, and the same call again."""
        call = self._at(name).start.add()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(call, 0)
        before = self._at(name).total()
        return [before, (await call)["total"]]

    async def awaited_large(self, name: str, counts: list[int]) -> list[Any]:
        """Calls of tasks that know nothing of each other, with large arguments."""
        calls = [self._at(name).start.length("x" * each) for each in counts]
        results = await asyncio.gather(*calls, return_exceptions=True)
        return [each.name if isinstance(each, ActorCallError) else each for each in results]

    def _at(self, name: str) -> Any:
        return self.env.GATHERING.id_from_name(name)
