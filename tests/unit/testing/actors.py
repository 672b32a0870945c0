"""Actors that several files of the kit's tests have."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Any, NoReturn

from holdfast import ActorError, AlarmInfo, Context, Env, Request, Response, StatefulActor

START = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Account(StatefulActor):
    def deposit(self, amount: int) -> dict[str, int]:
        """Add funds; returns the new balance."""
        balance = self.ctx.storage.get("balance", 0) + amount
        self.ctx.storage.put("balance", balance)
        return {"balance": balance}

    def debit(self, amount: int) -> dict[str, int]:
        balance = self.ctx.storage.get("balance", 0)
        if balance < amount:
            raise ActorError("insufficient funds", code="insufficient_funds", status=409)
        return self.deposit(-amount)

    def fail(self) -> NoReturn:
        raise ValueError("an author's mistake")


class Session(StatefulActor):
    """Expires unless it is touched."""

    def __init__(self, ctx: Context, env: Env) -> None:
        super().__init__(ctx, env)
        self.activation = random.random()

    def touch(self) -> datetime:
        self.ctx.storage.put("seen", datetime.now(UTC))
        self.ctx.storage.set_alarm(timedelta(minutes=30))
        print("touched")
        return datetime.now(UTC)

    def today(self) -> list[Any]:
        return [date.today(), isinstance(date.today(), date), isinstance(datetime.now(UTC), datetime), time.time()]

    def alarm(self, info: AlarmInfo) -> None:
        self.ctx.storage.put("expired", info.scheduled_time)
        self.ctx.storage.delete("seen")

    def spin(self, seconds: float) -> None:
        self.ctx.storage.put("spun", True)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            pass

    def spin_on_storage(self) -> None:
        while True:
            with suppress(Exception):
                self.ctx.storage.get("k")

    def write(self, *keys: str) -> None:
        for key in keys:
            self.ctx.storage.put(key, key)

    def write_and_sync(self) -> None:
        self.ctx.storage.put("a", 1)
        self.ctx.storage.sync()
        self.ctx.storage.put("b", 2)

    def write_stubbornly(self) -> None:
        """Goes on whatever is raised."""
        for key in "abc":
            try:
                self.ctx.storage.put(key, 1)
            except BaseException:
                continue

    def pay(self, name: str) -> Any:
        self.ctx.storage.put("paying", name)
        return self.env.ACCOUNT.id_from_name(name).deposit(1)


def fetch(request: Request, env: Env) -> Response:
    return Response.json([request.path, env.GREETING, env.ACCOUNT.id_from_name("f").deposit(1)])
