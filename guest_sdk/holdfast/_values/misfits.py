"""What has no encoding, and where in a value it is: the path is put together only when it is needed."""

from __future__ import annotations

from typing import Final

_PATH_CHARS_MAX: Final = 240
_STEP_CHARS_MAX: Final = 80


class MisfitError(Exception):
    """A part of a value that cannot be written or read.

    Whoever went into a container adds its step as this passes by: a path that is made on the way in, for every part,
    costs the square of the text where keys are long.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self._reason = reason
        self._steps: list[str] = []

    def within(self, step: str) -> None:
        """The container's own step to the part, as Python would write it: `['a']`, `[1]`."""
        self._steps.append(step)

    def again(self) -> MisfitError:
        """The same as it is now, without where it was raised."""
        same = MisfitError(self._reason)
        same._steps = [*self._steps]
        return same

    @property
    def depth(self) -> int:
        """How many containers stand around the part, as far as it has come."""
        return len(self._steps)

    def sentence(self, what: str) -> str:
        """`value['a'][1] is a value of type function, ...`: `what` is how the whole value is called."""
        path = what + "".join(reversed(self._steps))
        if len(path) > _PATH_CHARS_MAX:
            half = _PATH_CHARS_MAX // 2
            path = f"{path[:half]}...{path[-half:]}"
        return f"{path} {self._reason}"


def key_step(key: object) -> str:
    """The step to what stands under a key."""
    kind = type(key)
    if kind in (tuple, frozenset):
        return f"[a {kind.__name__} key]"
    try:
        return f"[{repr(key)[:_STEP_CHARS_MAX]}]"
    except ValueError:  # Python refuses to write an integer of thousands of digits
        return "[an int key]"
