"""A shared actor: one function owns it, another one refers to it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness import components
from tests.harness.components import PROJECT, TestComponent
from tests.harness.host import HOLDFAST, HostProcess

READONLY = PROJECT / "examples" / "account-readonly"
JSON = "-H 'content-type: application/json'"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def readonly_component() -> TestComponent:
    """`examples/account-readonly`, built."""
    return components.built(READONLY)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[HostProcess]:
    """A host with nothing deployed."""
    with HostProcess(tmp_path / "data", "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def shared(
    account_component: TestComponent, readonly_component: TestComponent, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[HostProcess]:
    """A host with owner and reference deployed."""
    with HostProcess(tmp_path_factory.mktemp("b") / "data", "--workers", "2") as running:
        assert deploy(running, account_component).returncode == 0
        assert deploy(running, readonly_component).returncode == 0
        yield running


def holdfast(host: HostProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command against the host."""
    command = [HOLDFAST, arguments[0], "--host", host.url, *arguments[1:]]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)


def deploy(host: HostProcess, component: TestComponent, *flags: str) -> subprocess.CompletedProcess[str]:
    with components.compiled_once(component.component, host.data):
        return holdfast(host, "deploy", "--component", str(component.component), str(component.project), *flags)


def shell(host: HostProcess, command: str) -> str:
    """What a command prints, with the walkthrough's port standing for the host's own."""
    port = host.url.rpartition(":")[2]
    script = f"OWN=http://account.localhost:{port}; REF=http://account-readonly.localhost:{port}\n{command}"
    return subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True).stdout.strip()


def test_two_functions_reach_one_durable_actor_each_by_a_binding_of_its_own(shared: HostProcess) -> None:
    host = shared
    shell(host, f"""curl -sS -X POST $OWN/accounts/carol/deposit {JSON} -d '{{"amount":100}}'""")
    printed = shell(host, "curl -sS $REF/accounts/carol/balance")
    host.kill_all()
    host.restart()

    assert printed == '{"account":"carol","balance":100,"via":"READONLY->Account(shared)"}'
    assert shell(host, "curl -sS $REF/accounts/carol/balance") == printed


def test_a_reference_without_an_owner_does_not_deploy_and_says_so(
    host: HostProcess, readonly_component: TestComponent
) -> None:
    done = deploy(host, readonly_component)

    assert done.returncode == 1
    assert "UnresolvedBindingError" in done.stderr
    assert "READONLY" in done.stderr
    assert "'Account'" in done.stderr
    assert shell(host, "curl -sS -o /dev/null -w '%{http_code}' $REF/accounts/carol/balance") == "404"


def test_a_second_owner_of_a_type_does_not_deploy(
    shared: HostProcess, account_component: TestComponent, tmp_path: Path
) -> None:
    second = another_project(account_component, tmp_path, "second")

    done = deploy(shared, second)

    assert done.returncode == 1
    assert "TypeOwnedError" in done.stderr
    assert "'account'" in done.stderr


def test_an_owner_stays_while_it_is_referred_to(shared: HostProcess) -> None:
    refused = holdfast(shared, "delete", "account")

    assert refused.returncode == 1
    assert "FunctionReferencedError" in refused.stderr
    assert "'account-readonly'" in refused.stderr


def test_a_type_stays_reserved_with_its_storage_until_somebody_adopts_it(
    host: HostProcess, account_component: TestComponent, tmp_path: Path
) -> None:
    assert deploy(host, account_component).returncode == 0
    shell(host, f"""curl -sS -X POST $OWN/accounts/carol/deposit {JSON} -d '{{"amount":100}}'""")
    assert holdfast(host, "delete", "account").returncode == 0
    heir = another_project(account_component, tmp_path, "heir")

    refused = deploy(host, heir)
    adopted = deploy(host, heir, "--adopt")
    late = deploy(host, account_component)

    assert refused.returncode == 1
    assert "TypeOwnedError" in refused.stderr
    assert "--adopt" in refused.stderr
    assert adopted.returncode == 0
    port = host.url.rpartition(":")[2]
    balance = shell(host, f"curl -sS http://heir.localhost:{port}/accounts/carol/balance")
    assert balance == '{"account":"carol","balance":100}'
    assert late.returncode == 1
    assert "TypeOwnedError" in late.stderr


def test_the_component_of_a_reference_contains_no_actor_class(readonly_component: TestComponent) -> None:
    assert b"class Account" not in readonly_component.component.read_bytes()
    assert "class " not in (READONLY / "src" / "app.py").read_text()


def another_project(like: TestComponent, folder: Path, name: str) -> TestComponent:
    """The same component under another function's manifest."""
    project = folder / name
    project.mkdir()
    manifest = project / "holdfast.toml"
    lines = like.manifest.read_text().replace('name = "account"', f'name = "{name}"').splitlines()
    manifest.write_text("\n".join(line for line in lines if "func_id" not in line and "[deploy]" not in line) + "\n")
    return TestComponent(name, project, manifest, like.component)
