"""The API's description of what is seen from outside: instances, logs, metrics."""

from __future__ import annotations

from typing import Any, Final

from holdfast_host.front.routes.openapi.parts import ANY, JSON, LINES, operation, parameter, typed_body

_TYPE: Final = parameter("type", "The actor type.")
_NAME: Final = parameter("name", "The instance, percent-encoded.")
_LIMIT: Final = parameter("limit", "How many, 100 by default.", "query", type="integer", minimum=1, maximum=1000)


def describe_inspection() -> dict[str, Any]:
    """The paths."""
    one = "/v1/instances/{type}/{name}"
    return {
        "/v1/instances/{type}": {"parameters": [_TYPE], "get": _list()},
        one: {"parameters": [_TYPE, _NAME], "get": _inspect(), "delete": _delete()},
        f"{one}/storage": {"parameters": [_TYPE, _NAME], "get": _storage()},
        f"{one}/storage/{{key}}": _value(),
        f"{one}/sockets": {"parameters": [_TYPE, _NAME], "get": _sockets()},
        f"{one}/sockets/{{id}}": {
            "parameters": [_TYPE, _NAME, parameter("id", "The socket's id, 16 hexadecimal digits.")],
            "delete": _close_socket(),
        },
        f"{one}/evict": {
            "parameters": [_TYPE, _NAME],
            "post": operation("evictInstance", "Drop the activation after its running turn; storage stays.", 200),
        },
        f"{one}/release": {
            "parameters": [_TYPE, _NAME],
            "post": operation("releaseInstance", "Lift the quarantine of an instance that killed workers.", 200),
        },
        "/v1/quarantined": {"get": _quarantined()},
        "/v1/hosts": {"get": operation("listHosts", "The hosts of the store: who serves, and who has ended.", 200)},
        "/v1/debug/workers": {"get": _workers()},
        "/v1/logs": {"get": _logs()},
        "/metrics": {"get": _metrics()},
    }


def _list() -> dict[str, Any]:
    return operation(
        "listInstances",
        "Instances that have a key, an alarm, a job, a receipt or a socket, in name order; null as the cursor ends it.",
        200,
        parameters=[
            parameter("prefix", "Only names that begin with this.", "query"),
            _LIMIT,
            parameter("cursor", "Where the last page ended.", "query"),
        ],
    )


def _inspect() -> dict[str, Any]:
    return operation(
        "inspectInstance",
        "Whether it is in memory, how many turns wait, its alarm, its version, whether it is quarantined.",
        200,
        parameters=[
            parameter(
                "count",
                "Add its keys and bytes, its jobs, and the bytes of jobs, receipts and sockets.",
                "query",
                type="boolean",
                default=False,
            )
        ],
    )


def _delete() -> dict[str, Any]:
    return operation(
        "deleteInstance", "Delete its keys, alarm, jobs, receipts and sockets, atomically, as a turn.", 200
    )


def _storage() -> dict[str, Any]:
    return operation(
        "listStorage",
        "Keys and values in key order, as of the last commit; `next` is the key that the next page starts with.",
        200,
        parameters=[
            parameter("prefix", "Only keys that begin with this.", "query"),
            parameter("start", "Begin with this key.", "query"),
            _LIMIT,
        ],
    )


def _value() -> dict[str, Any]:
    body = {"required": True, "description": typed_body("It is"), "content": {JSON: {"schema": ANY}}}
    return {
        "parameters": [_TYPE, _NAME, parameter("key", "The key, percent-encoded.")],
        "get": operation("getValue", "One value, as of the last commit.", 200),
        "put": operation("putValue", "Write one value, as a turn; the activation is dropped.", 200, requestBody=body),
        "delete": operation("deleteValue", "Delete one key, as a turn; the activation is dropped.", 200),
    }


def _sockets() -> dict[str, Any]:
    return operation(
        "listSockets",
        "The sockets of an instance, by their ids: kind, when each was opened, tags, attachment.",
        200,
        parameters=[_LIMIT, parameter("cursor", "Where the last page ended.", "query")],
    )


def _close_socket() -> dict[str, Any]:
    return operation(
        "closeSocket",
        "Close one socket, as a turn; its instance hears of it.",
        200,
        parameters=[
            parameter(
                "code", "Of the close frame; 1000 by default.", "query", type="integer", minimum=1000, maximum=4999
            ),
            parameter("reason", "Of the close frame, at most 123 bytes.", "query"),
        ],
    )


def _quarantined() -> dict[str, Any]:
    return operation(
        "listQuarantined",
        "Functions, by name, then instances, by type and name, that may not run for having killed workers.",
        200,
        parameters=[_LIMIT, parameter("cursor", "Where the last page ended.", "query")],
    )


def _workers() -> dict[str, Any]:
    return operation(
        "showWorkers",
        "What each worker does now: the turns that run, the longest queues, groups in flight. A worker that does not "
        "answer within two seconds is shown with what is known of it.",
        200,
        parameters=[
            parameter("limit", "Rows of a kind, 20 by default.", "query", type="integer", minimum=1, maximum=1000)
        ],
    )


def _logs() -> dict[str, Any]:
    logs = operation(
        "readLogs",
        "What instances and functions print, oldest first, one JSON object a line.",
        parameters=[
            parameter("type", "Only lines of this type's instances.", "query"),
            parameter("name", "Only lines of instances of this name.", "query"),
            parameter("function", "Only lines of this function and its actors.", "query"),
            parameter("since", "Only lines from then on, in seconds since 1970.", "query", type="number", minimum=0),
            parameter(
                "level",
                "Only lines of this level and above; stdout is info, stderr is warning.",
                "query",
                type="string",
                enum=["debug", "info", "warning", "error"],
            ),
            parameter("follow", "Go on as lines are written.", "query", type="boolean", default=False),
            parameter("tail", "Only the last so many.", "query", type="integer", minimum=0, maximum=10_000),
        ],
    )
    logs["responses"]["200"] = {"description": "Lines.", "content": {LINES: {"schema": ANY}}}
    return logs


def _metrics() -> dict[str, Any]:
    metrics = operation("metrics", "What all processes of the host count, as Prometheus text.")
    metrics["responses"]["200"] = {"description": "Text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    return metrics
