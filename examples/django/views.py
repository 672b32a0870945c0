"""Views that call actors, with what stands before them: the trace, and answers for what failed."""

import json
import logging
from functools import cache

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path

from holdfast import ActorCallError
from holdfast.client import Client, carry_trace

log = logging.getLogger(__name__)


@cache
def actors() -> Client:
    """One client for the process, made at its first call: after a server has forked its workers. Threads share it."""
    return Client(timeout_s=30)


def account_named(request: HttpRequest, name: str):
    """The actor that a path names. Whoever repeats a request under its key has one effect, and one answer."""
    account = actors().actor("Account", name, timeout_s=10)
    key = request.headers.get("Idempotency-Key")
    return account if key is None else account.once(key)


def balance(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse(account_named(request, name).balance())


def deposit(request: HttpRequest, name: str) -> HttpResponse:
    return JsonResponse(account_named(request, name).deposit(amount_of(request)))


def debit(request: HttpRequest, name: str) -> HttpResponse:
    result = account_named(request, name).debit(amount_of(request))
    return JsonResponse(
        result if result["ok"] else {"detail": "insufficient funds"}, status=200 if result["ok"] else 409
    )


def amount_of(request: HttpRequest) -> int:
    amount = json.loads(request.body)["amount"]
    if type(amount) is not int or amount <= 0:
        raise ValueError("amount is an integer above 0")
    return amount


def carry_on(get_response):
    """Calls of a request belong to its trace. With OpenTelemetry's instrumentation this is done without a word."""

    def serve(request: HttpRequest) -> HttpResponse:
        carry_trace(request.headers.get("traceparent"))
        return get_response(request)

    return serve


class answer_failures:  # noqa: N801 a middleware, named like its neighbour
    """What the actor refused, and what was asked wrongly, is told to who asked; the rest is for the log."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, (ValueError, KeyError, TypeError)):
            return JsonResponse({"detail": f"the body is like {{'amount': 5}}: {error}"}, status=422)
        if not isinstance(error, ActorCallError):
            return None
        status = error.status or 503
        if error.name in {"ActorError", "InvalidNameError", "IdempotencyConflictError"}:
            return JsonResponse({"detail": error.message, "code": error.code}, status=status)
        log.error("%s %s: %s", request.method, request.path, error)
        if error.retryable or status in {429, 503}:
            return JsonResponse({"detail": "try again"}, status=503, headers={"Retry-After": "1"})
        return JsonResponse({"detail": "it failed"}, status=502)


urlpatterns = [
    path("accounts/<str:name>", balance),
    path("accounts/<str:name>/deposit", deposit),
    path("accounts/<str:name>/debit", debit),
]
