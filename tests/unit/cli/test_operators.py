"""What the API offers, the command line offers too, or it is said here why not."""

from __future__ import annotations

import click

from holdfast_host.cli.main import group
from holdfast_host.front.routes.openapi.document import describe_api

COMMANDS = {
    "callMethod": "call",
    "callMethodByBody": "call",
    "listTypes": "actors",
    "listFunctions": "list",
    "getFunction": "list",
    "deployFunction": "deploy",
    "deleteFunction": "delete",
    "previewRollback": "rollback",
    "rollBackFunction": "rollback",
    "releaseFunction": "release",
    "reloadFunction": "dev",
    "listUndeployed": "undeployed",
    "listQuarantined": "quarantined",
    "listHosts": "hosts",
    "showWorkers": "top",
    "listInstances": "instances",
    "inspectInstance": "inspect",
    "deleteInstance": "erase",
    "evictInstance": "evict",
    "listSockets": "sockets",
    "closeSocket": "sockets",
    "releaseInstance": "release",
    "listStorage": "inspect",
    "getValue": "storage get",
    "putValue": "storage put",
    "deleteValue": "storage delete",
    "getAlarm": "inspect",
    "setAlarm": "alarm set",
    "deleteAlarm": "alarm clear",
    "listAlarms": "alarm list",
    "listJobs": "job list",
    "listInstanceJobs": "job list",
    "getJob": "job show",
    "retryJob": "job retry",
    "cancelJob": "job cancel",
    "exportInstance": "export",
    "exportType": "export",
    "importInstance": "import",
    "cloneInstance": "clone",
    "readLogs": "logs",
    "takeBackup": "backup",
    "listSecrets": "secret list",
    "setSecret": "secret set",
    "deleteSecret": "secret delete",
    "showOwnToken": "auth status",
    "readAudit": "audit",
    "readChanges": "changes",
    "revertInstance": "revert",
    "listTenants": "tenant list",
    "getTenant": "tenant list",
    "makeTenant": "tenant create",
    "deleteTenant": "tenant delete",
    "listTokens": "token list",
    "createToken": "token create",
    "rotateToken": "token rotate",
    "revokeToken": "token revoke",
}

# For programs, which speak HTTP themselves: a scraper, a load balancer, a generator of clients.
WITHOUT = {"metrics", "liveness", "readiness", "describeApi"}


def test_every_operation_of_the_api_has_a_command() -> None:
    paths = describe_api("http://127.0.0.1:1", token=False)["paths"]
    del paths["/fn/{function}/{path}"]  # a function's own
    operations = {each["operationId"] for path in paths.values() for name, each in path.items() if name != "parameters"}

    assert operations - WITHOUT == COMMANDS.keys()
    for command in set(COMMANDS.values()):
        found: click.Command | None = group
        for word in command.split():
            assert isinstance(found, click.Group)
            found = found.get_command(click.Context(found), word)
        assert found is not None, command
