"""What people write by hand: an account in FastAPI, a row locked with SELECT ... FOR UPDATE, a pool of connections.

`uvicorn` runs it, in several processes, with the address of the database in DSN. Paths are the measured actor's.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from fastapi import FastAPI, Request
from pydantic import BaseModel

CONNECTIONS = 16  # of each process
SCHEMA = "CREATE TABLE IF NOT EXISTS account (name text PRIMARY KEY, balance bigint NOT NULL)"


class Deposit(BaseModel):
    amount: int


pool: asyncio.Queue[psycopg.AsyncConnection[Any]] = asyncio.Queue()


@asynccontextmanager
async def connected(_: FastAPI) -> AsyncIterator[None]:
    for _number in range(CONNECTIONS):
        made = await psycopg.AsyncConnection.connect(os.environ["DSN"], target_session_attrs="read-write")
        pool.put_nowait(made)
    yield


@asynccontextmanager
async def transaction() -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection of the pool, in a transaction."""
    connection = await pool.get()
    try:
        async with connection.transaction():
            yield connection
    finally:
        pool.put_nowait(connection)


app = FastAPI(lifespan=connected)


@app.post("/v1/actors/Account/{name}/deposit")
async def deposit(name: str, request: Request) -> dict[str, int]:
    wanted = Deposit.model_validate_json(await request.body())  # wrk says no type of what it sends
    async with transaction() as connection:
        await connection.execute("INSERT INTO account VALUES (%s, 0) ON CONFLICT DO NOTHING", (name,))
        cursor = await connection.execute("SELECT balance FROM account WHERE name = %s FOR UPDATE", (name,))
        (before,) = await cursor.fetchone() or (0,)
        balance = before + wanted.amount
        await connection.execute("UPDATE account SET balance = %s WHERE name = %s", (balance, name))
    return {"balance": balance}


@app.post("/v1/actors/Account/{name}/balance")
async def balance_of(name: str) -> dict[str, int]:
    async with transaction() as connection:
        cursor = await connection.execute("SELECT balance FROM account WHERE name = %s", (name,))
        (balance,) = await cursor.fetchone() or (0,)
    return {"balance": balance}


@app.post("/v1/actors/Account/{name}/empty")
async def empty(name: str) -> None:
    return None
