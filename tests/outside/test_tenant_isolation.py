"""What a tenant has is invisible to every token that is not its own: by each route of the API, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.harness import components
from tests.harness.caller import Answer
from tests.harness.fixtures import StartHost
from tests.outside.tenant_hosts import BOOTSTRAP, HOMES, TenantHost, tenant_host

# What acme has, and names of the same length that nobody has.
NAMES = {
    "{type}": ("Purse", "Pvrse"),
    "{name}": ("alice-of-acme", "nobody-at-all"),
    "{method}": ("balance", "balanse"),
    "{function}": ("jobs", "jebs"),
    "{key}": ("balance", "balanse"),
    "{tenant}": ("acme", "ecma"),
}
# Of what each answer says anew, and what is of the whole host and for it alone.
UNEVEN = {"date", "holdfast-request-id"}
NEW_EACH_TIME = {"createToken", "readAudit"}  # of the latter, test_tenants.py
SHOWS_ALL_TO_THE_HOST = {"metrics", "readAudit"}
SHOWS_TYPES = {"showOwnToken", "listTokens"}  # of blue's own tokens, one of which is for a type of that name


class Secluded:
    """A host on which acme has one of everything, and all tokens that are not acme's."""

    def __init__(self, host: TenantHost) -> None:
        self.host = host
        host.make("acme")
        host.make("blue")
        host.deploy(components.built(components.GUESTS / "jobs"), "acme")
        host.call("acme", "Purse", "alice-of-acme", "deposit", 100)
        host.call("acme", "Purse", "alice-of-acme", "remind", 86_000.0, "a line of acme")
        host.done("PUT", "/v1/secrets/KEY_OF_ACME", {"value": "hush"}, tenant="acme")
        kept = host.done("POST", "/v1/tokens", {"scope": "read", "tenant": "acme", "name": "token-of-acme"})
        [job] = host.done("GET", "/v1/instances/Purse/alice-of-acme/jobs", tenant="acme")["jobs"]
        self.ids = {"/v1/tokens/": (kept["id"], kept["id"][:-1] + ("a" if kept["id"][-1] != "a" else "b"))}
        self.job = (job["id"], job["id"][:-1] + ("0" if job["id"][-1] != "0" else "1"))
        revoked = host.done("POST", "/v1/tokens", {"scope": "admin", "tenant": "acme"})
        rotated = host.done("POST", "/v1/tokens", {"scope": "admin", "tenant": "acme"})
        host.done("DELETE", f"/v1/tokens/{revoked['id']}")
        host.done("POST", f"/v1/tokens/{rotated['id']}/rotate")
        scopes = ("admin", "deploy", "call", "read")
        self.wrong: dict[str, str | None] = {
            **{f"blue's {scope}": host.token(scope, "blue") for scope in scopes},
            **{f"default's {scope}": host.token(scope, "default") for scope in ("admin", "call")},
            **{f"the host's {scope}": host.token(scope) for scope in ("deploy", "call", "read")},
            "blue's call for that type": host.token("call", "blue", types=["Purse", "Pvrse"]),
            "revoked": revoked["token"],
            "rotated": rotated["token"],
            "expired": host.expired("admin", "acme"),
            "none": None,
        }
        self.before = self.everything()

    def everything(self) -> list[Any]:
        """What acme has, as its own token sees it."""
        paths = [
            "/v1/functions", "/v1/actors", "/v1/secrets", "/v1/jobs", "/v1/instances/Purse", "/v1/undeployed",
            "/v1/instances/Purse/alice-of-acme?count=true", "/v1/instances/Purse/alice-of-acme/storage",
        ]  # fmt: skip
        return [self.host.done("GET", path, tenant="acme") for path in paths]

    def target(self, path: str, place: int) -> str:
        """A path of the API's description with names of acme's, or with those of nobody."""
        for segment, names in NAMES.items():
            if segment != "{name}" or not path.startswith("/v1/secrets/"):
                path = path.replace(segment, names[place])
        path = path.replace("/v1/secrets/{name}", f"/v1/secrets/{('KEY_OF_ACME', 'KEY_OF_NONE')[place]}")
        path = path.replace("{id}", (self.ids["/v1/tokens/"] if "/tokens/" in path else self.job)[place])
        path = path.replace("{job}", self.job[place]).replace("{socket}", "1-1").replace("{path}", "x")
        assert "{" not in path, path
        return path

    def as_of_nobody(self, answer: Answer) -> tuple[int, dict[str, str], str]:
        """An answer about a name of acme's, as one about a name that nobody has."""
        text = answer.text
        pairs = [*NAMES.values(), *self.ids.values(), self.job, ("KEY_OF_ACME", "KEY_OF_NONE")]
        for real, unknown in pairs:
            text = text.replace(real, unknown)
        return answer.status, {key: value for key, value in answer.headers.items() if key not in UNEVEN}, text


@pytest.fixture(params=HOMES)
def secluded(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Secluded]:
    with tenant_host(tmp_path, request.param, "--outbound", "http://*") as host:
        yield Secluded(host)


BODIES = {
    "callMethodByBody": ('{"type":"Purse","name":"alice-of-acme","method":"balance"}',
                         '{"type":"Pvrse","name":"nobody-at-all","method":"balanse"}'),
    "setSecret": ('{"value":"mine"}', '{"value":"mine"}'),
    "setAlarm": ('{"due":1900000000}', '{"due":1900000000}'),
    "revertInstance": ('{"at":1900000000}', '{"at":1900000000}'),
    "cloneInstance": ('{"name":"mine"}', '{"name":"mine"}'),
    "rollBackFunction": ('{"version":1}', '{"version":1}'),
    "reloadFunction": ('{"app":"x"}', '{"app":"x"}'),
}  # fmt: skip


@pytest.mark.slow
def test_no_route_tells_a_token_of_others_what_a_tenant_has(secluded: Secluded) -> None:
    """Asked for what is acme's, each operation answers as it does for a name that nobody has."""
    document = secluded.host.ask("GET", "/v1/openapi.json").value
    walked: set[str] = set()
    with secluded.host.host.caller() as caller:
        for path, item in document["paths"].items():
            for method, operation in item.items():
                if method == "parameters":
                    continue
                name = operation["operationId"]
                bodies = BODIES.get(name, ("{}", "{}") if method in ("post", "put") else (None, None))
                targets = [secluded.target(path, place) for place in (0, 1)]
                for whose, token in secluded.wrong.items():
                    of_all = operation.get("x-holdfast-of-host") or name in SHOWS_ALL_TO_THE_HOST
                    if of_all and whose.startswith("the host's"):
                        continue  # what is of the whole host is theirs, as far as the scope goes
                    shown = {} if token is None else {"Authorization": f"Bearer {token}"}
                    answers = [
                        caller.request(method.upper(), target, body, shown)
                        for target, body in zip(targets, bodies, strict=True)
                    ]
                    walked.add(name)
                    if name in NEW_EACH_TIME:
                        continue
                    about_acme, about_nobody = map(secluded.as_of_nobody, answers)
                    assert about_acme == about_nobody, (whose, method, targets)
                    if (targets[0], bodies[0]) == (
                        targets[1],
                        bodies[1],
                    ):  # it names nothing: then nothing of acme's is in it
                        for real in (
                            "alice-of-acme",
                            "Purse",
                            "KEY_OF_ACME",
                            "token-of-acme",
                            "a line of acme",
                            "acme",
                        ):
                            told = real in answers[0].text and not (real == "Purse" and name in SHOWS_TYPES)
                            assert not told, (whose, method, targets[0], answers[0].text)

    assert len(walked) > 55
    assert secluded.everything() == secluded.before, "and nothing of acme's was changed on the way"


@pytest.mark.slow
def test_a_token_of_a_tenant_acts_for_no_other_whether_there_is_one_or_not(secluded: Secluded) -> None:
    for whose in ("blue's admin", "default's admin", "the host's read"):
        token = secluded.wrong[whose]
        answers = [secluded.host.ask("GET", "/v1/functions", token=token, tenant=name) for name in ("acme", "ecma")]

        assert [each.status for each in answers] == [403, 403]
        assert answers[0].text == answers[1].text


def test_an_operator_who_names_a_tenant_that_is_not_there_is_told_how_to_make_it(start_probe_host: StartHost) -> None:
    host = TenantHost(start_probe_host(HOLDFAST_TOKEN=BOOTSTRAP))
    unknown = host.ask("GET", "/v1/functions", tenant="ecma")
    no_name = host.ask("GET", "/v1/functions", tenant="Not A Name")

    assert (unknown.status, unknown.error) == (404, "UnknownTenantError")
    assert unknown.value["error"]["message"] == "there is no tenant 'ecma': holdfast tenant create ecma"
    assert (no_name.status, no_name.error) == (400, "InvalidNameError")
    assert json.loads(host.ask("GET", "/v1/tenants").text)["tenants"] == [
        {"name": "default", "created_at": None, "limits": {}, "stored": None}
    ]
