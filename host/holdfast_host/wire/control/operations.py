"""The management operations that a front asks the supervisor for, each with its arguments and its result.

A result is a JSON object that the front shows as it is. FUNCTION stands for what `GET /v1/functions/{function}` shows:
`name`, `func_id`, `version`, `sha256`, `status`, `reason` where it is `failed`, `url`, `actors` [{`binding`, `type`,
`owner`}], `secrets` [{`name`, `set`}], `versions` [{`version`, `sha256`, `created_at`, `disk_bytes`}], `disk_bytes`: of
all kept versions, equal ones once. SECRET is `name`, `updated_at`, `functions`, the names of those that
see it or have it filled in, and `sealed_for`, the one origin of a sealed one.
"""

from __future__ import annotations

from msgspec import Struct

from holdfast_host.wire.control.audit import Change, Outcome


class Operation(Struct, forbid_unknown_fields=True, tag_field="operation"):
    """One operation, by its arguments."""


class OfTenant(Operation):
    """One that sees and changes what one tenant has, and no more."""

    tenant: str


class OfFunction(OfTenant):
    """One about one function of a tenant."""

    function: str


class Deploy(OfFunction, tag="deploy"):
    """Result: FUNCTION with `created`, true for a new function. Its stages come as `Progress`."""

    component: str  # path of a file below `data/uploads`; the supervisor takes it over, whatever happens
    manifest: str | None  # its text; null for a bare component
    allow_breaking: bool = False
    adopt: bool = False
    client: str = ""  # the address that it comes from


class Reload(OfFunction, tag="reload"):
    """Other sources for a development component. Result: FUNCTION."""

    sources: str  # JSON


class Rollback(OfFunction, tag="rollback"):
    """Result: FUNCTION."""

    version: int | None = None  # null: the one before


class PreviewRollback(OfFunction, tag="rollback_preview"):
    """Result: `version`, `breaks`, a clause for each thing relied on that would go, `refused`, why not, or null."""

    version: int | None = None  # null: the one before


class Delete(OfFunction, tag="delete"):
    """Result: FUNCTION as it was."""


class ShowFunction(OfFunction, tag="function"):
    """Result: FUNCTION."""


class ListFunctions(OfTenant, tag="functions"):
    """Result: `functions`: [FUNCTION]."""


class ListUndeployed(OfTenant, tag="undeployed"):
    """Result: `actors` [{`type`, `function`, `func_id`}]: those with instances that no deployed version ships."""


class CollectTenantMeasures(OfTenant, tag="tenant_measures"):
    """What has been counted of a tenant's functions and types.

    Result: `workers`: of each its `types`, those of the tenant's functions and types under their own names; and
    `tenants`: the tenant alone, see CollectMeasures.
    """


class CollectMeasures(Operation, tag="measures"):
    """What all processes have counted.

    Result: `workers`, `fronts` and `couriers` (one or none), each [{`up`, `deaths`, `stalled`, `measures`}],
    `quarantined`: how many of `instance` and `function`, `deploys_waiting`: how many wait for the compiler,
    `private_bytes`: the memory that the supervisor alone holds, and `tenants`: of each that has limits its `name`,
    `limits`, and what was `stored` when that was counted last, or null.
    """


class CollectActivity(Operation, tag="activity"):
    """What the workers do now.

    Result: `workers`, each [{`worker`, `pid`, `state`, `age_s`, `heartbeat_s`, `deaths`, `commit_stalled`, `shortage`,
    `answers`, `activity`, `noted`, `noted_total`}]: of one that does not answer, `activity` is null and `noted` are
    those whose turns it has noted on its running page.
    """

    limit: int  # rows of a kind


class ListHosts(Operation, tag="hosts"):
    """Who shares the store.

    Result: `store`, "files" or "postgresql", and `hosts` [{`host`, null on files, `name`, of its machine, `url`,
    `state`, `release`, `workers`, `shards`, `beat_age_s`, null for one that has ended, `is_this`}].
    """


class ListQuarantined(OfTenant, tag="quarantined"):
    """Result: `rows` [{`function`, `type`, `name`, `version`, `what`, `died_at`}], and `more`: whether others follow.

    `what` is "instance", or, with type and name null, "handler" (a function's fetch) or "version" (all of a function).
    """

    after: tuple[str, str]  # type and name
    limit: int


class ReleaseInstance(Operation, tag="release_instance"):
    """Result: `released`, whether it was quarantined."""

    type_id: int
    name: str


class ReleaseFunction(OfFunction, tag="release_function"):
    """Result: `released`, whether it was quarantined."""


class ListSecrets(OfTenant, tag="secrets"):
    """Result: `secrets`: [SECRET]."""


class SetSecret(OfTenant, tag="secret_set"):
    """Result: SECRET with `created`."""

    name: str
    value: str
    sealed_for: str | None = None  # the one origin that the courier may send it to; then no sandbox sees it

    def __repr__(self) -> str:
        return f"<SetSecret {self.name}>"


class DeleteSecret(OfTenant, tag="secret_delete"):
    """Result: SECRET as it was."""

    name: str


class OfTokens(Operation):
    """One about tokens: of one tenant, or, where it is null, of all and of the host."""

    tenant: str | None


class ListTokens(OfTokens, tag="tokens"):
    """Result: `tokens`: [TOKEN].

    TOKEN is `id`, `name`, `scope`, `types`, `created_at`, `expires_at` (null: never), `expired`, `last_used_at`, to
    the minute (null: never), and `tenant`, null for one of the host.
    """


class CreateToken(OfTokens, tag="token_create"):
    """Result: TOKEN with `token`, its text."""

    scope: str
    name: str = ""
    types: list[str] = []
    expires_s: int | None = None


class RotateToken(OfTokens, tag="token_rotate"):
    """Result: TOKEN with `token`, its new text."""

    id: str


class RevokeToken(OfTokens, tag="token_revoke"):
    """Result: TOKEN as it was."""

    id: str


class ListTenants(Operation, tag="tenants"):
    """Result: `tenants`: [TENANT].

    TENANT is `name`, `created_at`, null for `default`, which is always there, `limits`, those that it has by their
    names, and `stored`: `instances` and `bytes`, as they were counted last, null where they are not limited.
    """


class ShowTenant(Operation, tag="tenant"):
    """Result: TENANT."""

    name: str


class MakeTenant(Operation, tag="tenant_make"):
    """Result: TENANT with `created`."""

    name: str
    limits: dict[str, int] | None = None  # in the place of those that it has; null: as they are


class DeleteTenant(Operation, tag="tenant_delete"):
    """Result: TENANT as it was."""

    name: str


class BeginChange(Operation, tag="audit_begin"):
    """A change is about to be made. Result: `number`, of its line in the audit log, which is on disk."""

    change: Change


class EndChange(Operation, tag="audit_end"):
    """What became of it. Result: nothing."""

    begun: int
    change: Change
    outcome: Outcome


class ReadAudit(Operation, tag="audit"):
    """Result: `entries`, lines of the audit log in their order; `after`: the number up to which it has looked.

    Of a tenant it may have looked at lines of which none is the tenant's: who wants more asks on from `after`, until
    that stays as it is.
    """

    after: int  # the number before them
    limit: int
    wait_s: float = 0.0  # for one, where there is none
    tenant: str | None = None  # whose, as that one may see them; null: all, as they are


class TakeBackup(Operation, tag="backup"):
    """Copy everything as of one moment, file by file, below `data/backup`; one at a time.

    Each file that is there comes as `Progress`: a JSON object with its `name` in the backup and its `path`; whoever
    asked takes it away. Result: nothing; it comes once all have been taken away.
    """

    with_key: bool  # the key of the secrets too


class ReadArchived(Operation, tag="archived"):
    """What an instance had stored at a moment. Result: `path`, of a file that whoever asked removes, and `at`.

    The file is a map of MessagePack: keys and encoded values.
    """

    type_id: int
    name: str
    at_us: int


FunctionOperation = (
    Deploy | Reload | Rollback | PreviewRollback | Delete | ShowFunction | ListFunctions | ListUndeployed
)
QuarantineOperation = ListQuarantined | ReleaseInstance | ReleaseFunction
SecretOperation = ListSecrets | SetSecret | DeleteSecret
TokenOperation = ListTokens | CreateToken | RotateToken | RevokeToken
AuditOperation = BeginChange | EndChange | ReadAudit
TenantOperation = ListTenants | ShowTenant | MakeTenant | DeleteTenant
KeptOperation = SecretOperation | TokenOperation | AuditOperation | TenantOperation
LookOperation = CollectMeasures | CollectTenantMeasures | CollectActivity | ListHosts
FurtherOperation = LookOperation | QuarantineOperation | KeptOperation | TakeBackup | ReadArchived
AnyOperation = FunctionOperation | FurtherOperation
