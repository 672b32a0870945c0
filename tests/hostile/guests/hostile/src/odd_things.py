"""Values and errors that break whoever looks at them."""

from typing import Any


class Evil:
    """Raises from wherever it is looked at."""

    def __str__(self) -> str:
        raise ValueError("str")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise ValueError("eq")

    def __hash__(self) -> int:
        raise ValueError("hash")

    def __getattribute__(self, name: str) -> Any:
        raise ValueError("attribute")


class EvilError(Exception):
    """An exception that cannot be shown."""

    def __str__(self) -> str:
        raise EvilError

    __repr__ = __str__


class EvilBaseError(BaseException):
    """The same, which `except Exception` does not see."""

    def __str__(self) -> str:
        raise KeyboardInterrupt

    __repr__ = __str__


class Endless(dict[str, Any]):
    """A dictionary without an end."""

    def items(self) -> Any:
        while True:
            yield "key", 1

    def __len__(self) -> int:
        return 1 << 40


class Lingering:
    """Loops when it is forgotten."""

    def __del__(self) -> None:
        while True:
            pass
