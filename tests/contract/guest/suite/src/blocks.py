"""`transaction()` blocks that end in another order, in another turn, or not at all."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

from holdfast import Context, Env, LimitError, StatefulActor
from holdfast._host_imports import Err, facts_of


class Blocks(StatefulActor):
    """Does with blocks what a `with` statement alone does not."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.kept: Any = None
        if ctx.name.startswith("opens"):
            self._leave_open("by the constructor")

    def end_the_outer_one_first(self, outer_fails: bool, inner_fails: bool) -> list[Any]:
        """What is said at the end of the outer block, then of the inner one, and what the two wrote and kept."""
        storage = self.ctx.storage
        outer, inner = storage.transaction(), storage.transaction()
        outer.__enter__()
        storage.put("outer", 1)
        inner.__enter__()
        storage.put("inner", 1)
        said = [self._end(outer, outer_fails), self._end(inner, inner_fails)]
        return [*said, sorted(key for key, _ in storage.scan())]

    def end_twice(self) -> list[Any]:
        block = self.ctx.storage.transaction()
        said = [self._end(block, False)]
        with block:
            self.ctx.storage.put("k", 1)
            said.append(self._begin(block))
        return [*said, self._end(block, False), self._end(block, True), self.ctx.storage.get("k")]

    def by_id(self, earlier: int) -> list[Any]:
        """The host's own savepoints: what is said of ids that are not open, what is kept, and one that stays open."""
        storage = self.ctx.storage
        host = storage._host
        first = host.open_savepoint()
        storage.put("first", 1)
        second = host.open_savepoint()
        storage.put("second", 1)
        host.open_savepoint()
        storage.put("third", 1)
        host.rollback_savepoint(second)
        wrong = (second, second + 1, earlier, 0, -1)
        said = [self._refusal(host.release_savepoint, each) for each in wrong]
        said += [self._refusal(host.rollback_savepoint, each) for each in wrong]
        host.release_savepoint(first)
        return [said, [key for key, _ in storage.scan()], first < second, host.open_savepoint()]

    @staticmethod
    def _refusal(end: Callable[[int], None], savepoint: int) -> str:
        try:
            end(savepoint)
        except Err as error:
            return str(facts_of(error)["name"])
        return "done"

    def leave_open(self) -> None:
        """A block that is held by a generator, and a write in it."""
        self._leave_open("by a turn")

    def sync(self) -> Any:
        """What a sync says now, and what is stored."""
        try:
            self.ctx.storage.sync()
        except RuntimeError as error:
            return str(error)
        return sorted(key for key, _ in self.ctx.storage.scan())

    def end_what_was_left_open(self, inside: bool) -> list[Any]:
        """End an earlier turn's block, inside a block of this turn's or not."""
        storage = self.ctx.storage
        with ExitStack() as stack:
            if inside:
                stack.enter_context(storage.transaction())
            storage.put("later", 1)
            said = self._say(lambda: next(self.kept))
        return [said, sorted(key for key, _ in storage.scan())]

    def drop_what_was_left_open(self) -> list[str]:
        """The same, by an exception in it: nobody has anything to undo any more."""
        storage = self.ctx.storage
        with storage.transaction():
            storage.put("later", 1)
            self.kept.close()
        return sorted(key for key, _ in storage.scan())

    def fail_in_a_block_that_is_over(self) -> str:
        """The exception under way is what leaves, not what is wrong with the block."""
        block = self.ctx.storage.transaction()
        with block:
            pass

        def leave() -> None:
            error = KeyError("under way")
            block.__exit__(*_facts(error))
            raise error

        return self._say(leave)

    def go_too_deep(self, depth: int) -> list[Any]:
        """A block that cannot be begun, in the middle of others that are undone one by one."""
        storage = self.ctx.storage
        storage.put("before", 1)
        try:
            with ExitStack() as stack:
                for number in range(depth):
                    stack.enter_context(storage.transaction())
                    storage.put(f"{number:03}", 1)
        except LimitError as error:
            return [str(error), sorted(key for key, _ in storage.scan())]
        return ["taken"]

    def _leave_open(self, who: str) -> None:
        def hold() -> Iterator[None]:
            with self.ctx.storage.transaction():
                self.ctx.storage.put(who, 1)
                yield
            yield

        self.kept = hold()
        next(self.kept)

    def _begin(self, block: Any) -> str:
        return self._say(block.__enter__)

    def _end(self, block: Any, fails: bool) -> str:
        return self._say(lambda: block.__exit__(*(_facts(KeyError("on purpose")) if fails else (None, None, None))))

    def _say(self, run: Any) -> str:
        try:
            run()
        except (RuntimeError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        return "done"


def _facts(error: Exception) -> Any:
    return type(error), error, None
