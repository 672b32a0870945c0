"""The API's own description, for what this host serves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from holdfast_host import __version__
from holdfast_host.front.routes.openapi.audit import describe_audit
from holdfast_host.front.routes.openapi.changes import describe_changes
from holdfast_host.front.routes.openapi.inspection import describe_inspection
from holdfast_host.front.routes.openapi.jobs import describe_jobs
from holdfast_host.front.routes.openapi.parts import ANY, JSON, TYPED, operation, parameter, typed_body
from holdfast_host.front.routes.openapi.tenants import HEADER, describe_tenants
from holdfast_host.front.routes.openapi.tokens import describe_tokens
from holdfast_host.front.routes.openapi.transfers import describe_transfers
from holdfast_host.front.routes.openapi.types_schema import types_schema

if TYPE_CHECKING:
    from holdfast_host.front.app import Route


def describe_api(url: str, routes: Iterable[Route] = (), *, token: bool) -> dict[str, Any]:
    """An OpenAPI 3.1 document, which generators of clients read.

    Args:
        url: where the host listens.
        routes: those that are served: each operation says with `x-holdfast-scopes` which scopes may use it, and with
            `x-holdfast-of-host` where it is no tenant's.
        token: whether it has one; Authorization is asked for only then.
    """
    secured: dict[str, Any] = {"security": [{"token": []}]} if token else {}
    schemes = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}} if token else {}
    described: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": "Stateful actors: one instance per name.",
        },
        "servers": [{"url": url}],
        **secured,
        "paths": {
            "/v1/actors/{type}/{name}/{method}": {"post": _call_by_path()},
            "/v1/call": {"post": _call_by_body()},
            "/v1/actors": {"get": _list_types()},
            "/v1/functions": {"get": operation("listFunctions", "The deployed functions.", 200)},
            "/v1/undeployed": {
                "get": operation(
                    "listUndeployed", "Actor types that no deployed version ships, with storage left.", 200
                )
            },
            "/v1/functions/{function}": _function(),
            "/v1/functions/{function}/rollback": {"get": _preview_rollback(), "post": _roll_back()},
            "/v1/functions/{function}/release": {"post": _release()},
            "/v1/functions/{function}/sources": {"put": _reload()},
            "/v1/instances/{type}/{name}/alarm": _alarm(),
            "/v1/alarms": {"get": _list_alarms()},
            **describe_jobs(),
            "/v1/backup": _backup(),
            "/v1/secrets": {"get": operation("listSecrets", "The secrets' names; values are never shown.", 200)},
            "/v1/secrets/{name}": _secret(),
            **describe_tokens(),
            **describe_tenants(),
            **describe_audit(),
            **describe_changes(),
            "/fn/{function}/{path}": _function_itself(),
            **describe_inspection(),
            **describe_transfers(),
            "/v1/openapi.json": {"get": operation("describeApi", "This document.", 200)},
            "/health/liveness": {"get": _health("liveness", "The process runs.")},
            "/health/readiness": {"get": _health("readiness", "The host serves calls; 503 with the reason if not.")},
        },
        "components": {
            **schemes,
            "parameters": {"Tenant": HEADER},
            "schemas": {"Error": _error_schema(), "Arguments": _arguments_schema(), "ActorTypes": types_schema()},
        },
    }
    by_path = {route.pattern: route.handlers for route in routes}
    for path, item in described["paths"].items():
        pattern = tuple("{}" if each.startswith("{") else each for each in path.split("/")[1:])
        for method, guarded in by_path.get(pattern, {}).items():
            item[method.lower()]["x-holdfast-scopes"] = [*guarded.scopes]
            if guarded.of_host:
                item[method.lower()]["x-holdfast-of-host"] = True
    return described


def _call_by_path() -> dict[str, Any]:
    # Without a type: clients generated in Python send none of an object or array that is not given.
    arguments = {"schema": {"description": "An object of keyword arguments, an array of positional ones, or nothing."}}
    call = operation(
        "callMethod",
        "Call a method of one instance.",
        200,
        parameters=[
            parameter("type", "The actor type, a class name.", type="string", pattern="^[A-Za-z_][A-Za-z0-9_]{0,31}$"),
            parameter("name", "The instance: any text of 1 to 256 UTF-8 bytes without NUL, percent-encoded."),
            parameter("method", "The method."),
            _idempotency_key(),
        ],
        requestBody={"required": False, "description": typed_body("They are"), "content": {JSON: arguments}},
    )
    call["responses"]["200"]["content"][TYPED] = {"schema": ANY}
    return call


def _call_by_body() -> dict[str, Any]:
    text = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["type", "name", "method"],
        "additionalProperties": False,
        "properties": {
            "type": text,
            "name": text,
            "method": text,
            "args": {"$ref": "#/components/schemas/Arguments"},
        },
    }
    body = {"required": True, "content": {JSON: {"schema": schema}}}
    summary = "Call a method; for names that clients rewrite in paths."
    return operation("callMethodByBody", summary, 200, parameters=[_idempotency_key()], requestBody=body)


def _idempotency_key() -> dict[str, Any]:
    about = "Names this call at its instance: repeated under the same key it has one effect, and its answer, for a day."
    return parameter("Idempotency-Key", about, "header", type="string", minLength=1, maxLength=255)


def _function() -> dict[str, Any]:
    component = {"type": "string", "format": "binary"}
    parts = {"component": component, "manifest": {"type": "string"}}
    form = {"type": "object", "required": ["component"], "properties": parts}
    body = {
        "required": True,
        "content": {"multipart/form-data": {"schema": form}, "application/wasm": {"schema": component}},
    }
    flag = {"type": "boolean", "default": False}
    deploy = operation(
        "deployFunction",
        "Deploy a component; with Accept: application/x-ndjson the stages come as lines.",
        200,
        201,
        parameters=[
            parameter("allow_breaking", "Deploy although it drops what callers rely on.", "query", **flag),
            parameter("adopt", "Take over types that another func_id left.", "query", **flag),
        ],
        requestBody=body,
    )
    name = parameter("function", "The function's name.", type="string", pattern="^[a-z][a-z0-9-]{0,62}$")
    return {
        "parameters": [name],
        "get": operation("getFunction", "One function with its versions.", 200),
        "put": deploy,
        "delete": operation("deleteFunction", "Undeploy; its storage stays.", 200),
    }


def _release() -> dict[str, Any]:
    return operation(
        "releaseFunction",
        "Lift the quarantine of a function: of its fetch handler, or of all of it.",
        200,
        parameters=[parameter("function", "The function's name.")],
    )


def _preview_rollback() -> dict[str, Any]:
    return operation(
        "previewRollback",
        "What a rollback would break of what callers, instances and other functions rely on; it changes nothing.",
        200,
        parameters=[
            parameter("function", "The function's name."),
            parameter(
                "version", "The version; the one before where it is left out.", "query", type="integer", minimum=1
            ),
        ],
    )


def _roll_back() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"version": {"type": "integer", "minimum": 1}}}
    return operation(
        "rollBackFunction",
        "Switch to an earlier version, by default the one before.",
        200,
        parameters=[parameter("function", "The function's name.")],
        requestBody={"required": False, "content": {JSON: {"schema": schema}}},
    )


def _reload() -> dict[str, Any]:
    return operation(
        "reloadFunction",
        "Hand other sources to a development component; what stands in them is between an author's tool and its SDK.",
        200,
        parameters=[parameter("function", "The function's name.")],
        requestBody={"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
    )


def _alarm() -> dict[str, Any]:
    due = {
        "description": "A date and time with an offset, or seconds since 1970, 1e9 to 1e11.",
        "type": ["string", "number"],
    }
    body = {"required": False, "content": {JSON: {"schema": {"type": "object", "properties": {"due": due}}}}}
    return {
        "parameters": [parameter("type", "The actor type."), parameter("name", "The instance, percent-encoded.")],
        "get": operation("getAlarm", "The instance's alarm: state, times, retry count, last error; or null.", 200),
        "put": operation("setAlarm", "Set or re-arm it, without a body for now; a turn.", 200, requestBody=body),
        "delete": operation("deleteAlarm", "Clear it; a turn.", 200),
    }


def _list_alarms() -> dict[str, Any]:
    states = {"type": "string", "enum": ["armed", "retrying", "abandoned", "parked"]}
    return operation(
        "listAlarms",
        "Alarms by state; null as the cursor ends the listing, a page before may be short.",
        200,
        parameters=[
            parameter("state", "Only those in this state.", "query", **states),
            parameter("limit", "How many, 100 by default.", "query", type="integer", minimum=1, maximum=1000),
            parameter("cursor", "Where the last page ended.", "query"),
        ],
    )


def _backup() -> dict[str, Any]:
    summary = "A backup as of one moment, as a tar archive; docs/operating.md says what lies in it and how it ends."
    flag = parameter("with_key", "Add the key of the secrets.", "query", type="boolean", default=False)
    described = operation("takeBackup", summary, parameters=[flag])
    tar = {"application/x-tar": {"schema": {"type": "string", "format": "binary"}}}
    described["responses"]["200"] = {"description": "The archive, as it is made.", "content": tar}
    return {"post": described}


def _secret() -> dict[str, Any]:
    value = {"type": "string", "description": "At most 65536 bytes of UTF-8.", "writeOnly": True}
    sealed_for = {
        "type": "string",
        "description": "The one origin that outbound requests send it to, as https://api.example.com; then no function "
        "sees it.",
    }
    schema = {
        "type": "object",
        "required": ["value"],
        "additionalProperties": False,
        "properties": {"value": value, "sealed_for": sealed_for},
    }
    body = {"required": True, "content": {JSON: {"schema": schema}}}
    name = parameter("name", "An attribute of env, for the functions whose manifest names it.")
    return {
        "parameters": [name],
        "put": operation(
            "setSecret",
            "Set a secret; turns from now on see it where their function names it.",
            200,
            201,
            requestBody=body,
        ),
        "delete": operation("deleteSecret", "Delete a secret.", 200),
    }


def _list_types() -> dict[str, Any]:
    described = operation("listTypes", "The deployed actor types and their methods.", 200)
    described["responses"]["200"]["content"] = {JSON: {"schema": {"$ref": "#/components/schemas/ActorTypes"}}}
    return described


def _function_itself() -> dict[str, Any]:
    """Any method: what it does is the function's own affair, and so is the Authorization header."""
    summary = "The function's own fetch handler, which sees /{path}; also under the host name {function}.{domain}."
    parameters = [parameter("function", "The function's name."), parameter("path", "Any path, with slashes.")]
    methods = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
    return {
        "parameters": parameters,
        **{
            method: {
                "operationId": f"{method}OfFunction",
                "summary": summary,
                "security": [],
                "responses": {"default": {"description": "What the function answers, of any type."}},
            }
            for method in methods
        },
    }


def _health(name: str, summary: str) -> dict[str, Any]:
    return {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": {"description": "ok", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    }


def _arguments_schema() -> dict[str, Any]:
    return {
        "description": "Keyword arguments, or positional ones.",
        "oneOf": [{"type": "object"}, {"type": "array", "items": ANY}],
    }


def _error_schema() -> dict[str, Any]:
    facts = {
        "name": {"type": "string"},
        "message": {"type": "string"},
        "retryable": {"type": "boolean"},
        "code": {"type": "string"},
    }
    error = {"type": "object", "required": ["name", "message", "retryable"], "properties": facts}
    return {"type": "object", "required": ["error"], "properties": {"error": error}}
