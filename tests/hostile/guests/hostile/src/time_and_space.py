"""Attacks on what all share: time and memory."""

import _thread
import asyncio
import gc
import json
import queue
import re
import select
import sys
import time
from collections.abc import Sequence
from typing import Any

from wit_world.imports import storage

from holdfast import Context, Env

MIB = 1 << 20


class TakesTime:
    """Goes on and on."""

    ctx: Context

    def loop(self) -> None:
        while True:
            pass

    def loop_that_catches_everything(self) -> None:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                continue

    def regex_bomb(self) -> bool:
        return bool(re.match(r"(a+)+$", "a" * 60 + "b"))

    def big_power(self) -> int:
        return len(str(7 ** (10**8)))

    def storage_loop(self) -> None:
        while True:
            self.ctx.storage.get("k")

    def storage_write_loop(self) -> None:
        number = 0
        while True:
            self.ctx.storage.put("k", number)
            number += 1

    def list_loop(self) -> None:
        while True:
            self.ctx.storage.list(limit=1000)

    def sync_loop(self) -> None:
        number = 0
        while True:
            self.ctx.storage.put("k", number)
            self.ctx.storage.sync()
            number += 1

    def savepoint_loop(self) -> None:
        while True:
            storage.savepoint()

    def sleep(self) -> None:
        time.sleep(10**9)

    def sleep_in_select(self) -> None:
        select.select([], [], [], 10**6)

    def sleep_in_asyncio(self) -> None:
        asyncio.run(asyncio.sleep(10**6))

    def sleep_on_a_lock(self) -> str:
        lock = _thread.allocate_lock()
        lock.acquire()
        return str(lock.acquire(True, 10**6))

    def sleep_on_a_queue(self) -> None:
        queue.Queue[int]().get(timeout=10**6)

    async def await_for_ever(self) -> None:
        await asyncio.get_event_loop().create_future()


class TakesSpace:
    """Grows, and recurses."""

    ctx: Context
    env: Env
    hoarded: Sequence[bytearray] = ()

    def memory_bomb(self) -> int:
        held = []
        while True:
            held.append(bytearray(MIB))

    def hoard(self) -> None:
        held: list[bytearray] = []
        self.hoarded = held
        while True:
            held.append(bytearray(MIB))

    def count_hoarded(self) -> int:
        return len(self.hoarded)

    def refused_again_and_again(self, what: str, times: int) -> str:
        """Catch what the host says of too much, with the collector off."""
        gc.disable()
        told = ""
        for _ in range(times):
            try:
                if what == "put":
                    self.ctx.storage.put("k", "x" * (MIB + 1))
                else:
                    self.env.HOSTILE.id_from_name("other").noop("x" * MIB)
            except Exception as error:
                told = type(error).__name__
        gc.enable()
        return told

    def memory_bomb_that_catches(self) -> None:
        held: list[Any] = []
        while True:
            try:
                while True:
                    held.append(bytearray(1000))
            except MemoryError:
                continue

    def one_big_allocation(self) -> int:
        return len(bytearray(1 << 31))

    def recursion(self) -> int:
        return self.recursion() + 1

    def recursion_without_limit(self) -> None:
        sys.setrecursionlimit(10**9)

        def down(depth: int) -> int:
            return down(depth + 1) + 1

        down(0)

    def recursion_in_c(self) -> None:
        json.loads("[" * 300_000)

    def recursion_in_repr(self) -> int:
        value: Any = []
        for _ in range(300_000):
            value = [value]
        return len(repr(value))
