"""What people write today: an account in FastAPI and PostgreSQL, its row locked with SELECT ... FOR UPDATE.

`python fastapi_account.py SERVE_PORT POSTGRES_BIN DATA_DIR POSTGRES_PORT` starts PostgreSQL on that directory, with its
usual settings (`fsync` and `synchronous_commit` on), and serves with a worker for each processor.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]  # it brings no types
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

CONNECTIONS = 16  # of each worker
TABLE = "CREATE TABLE IF NOT EXISTS accounts (name text PRIMARY KEY, balance bigint NOT NULL)"


class Deposit(BaseModel):
    """The body of a deposit."""

    amount: int


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """A pool of connections for as long as the worker lives."""
    async with asyncpg.create_pool(os.environ["DATABASE"], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan, strict_content_type=False)  # the load says none


@app.post("/v1/actors/Account/{name}/deposit")
async def deposit(name: str, body: Deposit) -> dict[str, Any]:
    """Read, add, write in one transaction; the reply comes after the commit."""
    async with app.state.pool.acquire() as connection, connection.transaction():
        balance = await connection.fetchval("SELECT balance FROM accounts WHERE name = $1 FOR UPDATE", name)
        if balance is None:
            put = "INSERT INTO accounts VALUES ($1, 0) ON CONFLICT DO NOTHING"
            await connection.execute(put, name)
            balance = await connection.fetchval("SELECT balance FROM accounts WHERE name = $1 FOR UPDATE", name)
        balance += body.amount
        await connection.execute("UPDATE accounts SET balance = $2 WHERE name = $1", name, balance)
    return {"balance": balance}


@app.post("/v1/actors/Account/{name}/empty")
async def empty(name: str) -> None:
    """Nothing."""
    if not name:
        raise HTTPException(404)


def main() -> None:
    """Start PostgreSQL, make the table, serve."""
    port, programs, data, postgres_port = sys.argv[1:]
    as_server = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    command = [*as_server, f"{programs}/postgres", "-D", data, "-p", postgres_port, "-k", data, "-h", "127.0.0.1"]
    subprocess.Popen(command, cwd="/")
    address = f"postgresql://holdfast@127.0.0.1:{postgres_port}/postgres"
    psql = [f"{programs}/psql", "-q", address, "-c", TABLE]
    ends = time.monotonic() + 20
    while subprocess.run(psql, capture_output=True, check=False).returncode:
        if time.monotonic() > ends:
            sys.exit("PostgreSQL does not start")
        time.sleep(0.1)
    os.environ["DATABASE"] = address
    workers = len(os.sched_getaffinity(0))
    uvicorn.run("fastapi_account:app", host="127.0.0.1", port=int(port), workers=workers, access_log=False)


if __name__ == "__main__":
    main()
