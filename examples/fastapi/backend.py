"""A backend with FastAPI that calls the actors of `examples/account`.

One client for the process, made and closed with it; HOLDFAST_HOST and HOLDFAST_TOKEN say which host it calls.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, PositiveInt

from holdfast import ActorCallError
from holdfast.client import AsyncClient, carry_trace

log = logging.getLogger(__name__)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncClient() as app.state.actors:
        yield


async def carry_on(given: Annotated[str | None, Header(alias="traceparent")] = None) -> None:
    """Calls of this request belong to its trace. With OpenTelemetry's instrumentation this is done without a word."""
    carry_trace(given)


def account_named(
    name: str, request: Request, key: Annotated[str | None, Header(alias="Idempotency-Key")] = None
) -> Any:
    """The actor that a path names. Whoever repeats a request under its key has one effect, and one answer."""
    account = request.app.state.actors.actor("Account", name, timeout_s=10)
    return account if key is None else account.once(key)


app = FastAPI(lifespan=lifespan, dependencies=[Depends(carry_on)])
Account = Annotated[Any, Depends(account_named)]


class Amount(BaseModel):
    amount: PositiveInt


@app.get("/accounts/{name}")
async def balance(account: Account) -> dict:
    return await account.balance()


@app.post("/accounts/{name}/deposit")
async def deposit(account: Account, body: Amount) -> dict:
    return await account.deposit(body.amount)


@app.post("/accounts/{name}/debit")
async def debit(account: Account, body: Amount) -> dict:
    result = await account.debit(body.amount)
    if not result["ok"]:
        raise HTTPException(409, "insufficient funds")
    return result


@app.exception_handler(ActorCallError)
async def failed(request: Request, error: ActorCallError) -> JSONResponse:
    """What the actor refused, and what was asked wrongly, is told to who asked; the rest is for the log."""
    status = error.status or 503
    if error.name in {"ActorError", "InvalidNameError", "IdempotencyConflictError"}:
        return JSONResponse({"detail": error.message, "code": error.code}, status)
    log.error("%s %s: %s", request.method, request.url.path, error)
    if error.retryable or status in {429, 503}:
        return JSONResponse({"detail": "try again"}, 503, {"Retry-After": "1"})
    return JSONResponse({"detail": "it failed"}, 502)
