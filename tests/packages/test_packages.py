"""Popular packages in real components. They come from the index; `make packages` builds all, `make test-long` a few."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from holdfast_host.build.errors import BuildError
from holdfast_host.build.project import build_project
from tests.harness.components import PROJECT
from tests.packages.catalogue import NATIVE, PACKAGES, QUICK, Package, table, trial
from tests.unit.build import joint
from tests.unit.build.test_build import ACTOR, MANIFEST, project
from tests.unit.guest.plain_host import PlainHost, quick_engine


def shown(directory: Path, packages: list[Package]) -> tuple[list[str], dict[str, object]]:
    """What a build with these packages warned of, and what their lines returned, by package."""
    needed = [name for each in packages for name in (each.name, *each.needs)]
    manifest = f"{MANIFEST}dependencies = {json.dumps(needed)}\n"
    stages: list[str] = []
    built = build_project(project(directory, trial("Trial", packages), manifest), stages.append)
    sandbox = PlainHost(quick_engine(), built.path.read_bytes()).sandbox("Trial", "t")
    warnings = [stage for stage in stages if stage.startswith("warning: ")]
    return warnings, {each.name: sandbox.call(f"p{at}") for at, each in enumerate(packages)}


@pytest.mark.slow
def test_popular_packages_work_in_one_component() -> None:
    packages = [each for each in PACKAGES if each.name in QUICK]
    warnings = [stage for stage in joint.stages() if stage.startswith("warning: ")]
    sandbox = joint.sandbox("Popular")
    returned = {each.name: sandbox.call(f"p{at}") for at, each in enumerate(packages)}

    assert returned == {each.name: each.returns for each in packages}
    assert ["markupsafe" in warnings[0], "pyyaml" in warnings[1], len(warnings)] == [True, True, 2]


@pytest.mark.packages
@pytest.mark.parametrize("package", PACKAGES, ids=lambda each: each.name)
def test_a_popular_package_does_what_the_page_says(tmp_path: Path, package: Package) -> None:
    warnings, returned = shown(tmp_path / "p", [package])

    assert returned[package.name] == package.returns
    assert any(package.warns in each for each in warnings) if package.warns else warnings == []


@pytest.mark.packages
@pytest.mark.parametrize("name", NATIVE)
def test_a_package_that_is_native_code_is_refused_by_name(tmp_path: Path, name: str) -> None:
    directory = project(tmp_path / "p", ACTOR, f'{MANIFEST}dependencies = ["{name}"]\n')

    with pytest.raises(BuildError, match=rf"(?i)^no release without native code: .*{name}") as caught:
        build_project(directory)

    assert "\n" not in caught.value.message


def test_the_page_tells_of_the_same_packages() -> None:
    page = (PROJECT / "docs" / "packages.md").read_text()

    assert table() in page
    assert f"Native code only, and so refused: {', '.join(NATIVE)}." in page
