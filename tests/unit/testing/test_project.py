"""The kit's reading of a project: what is wrong with it is said before a test runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.testing import LocalHost

APP = "from holdfast import StatefulActor\n\n\nclass Cart(StatefulActor):\n    def size(self):\n        return 0\n"
MAIN = 'main = "app.py"\n'
CART = '[[actors]]\nbinding = "CART"\ntype = "Cart"\n'


def project(directory: Path, manifest: bytes) -> Path:
    (directory / "app.py").write_text(APP)
    (directory / "holdfast.toml").write_bytes(manifest)
    return directory


def test_a_project_is_what_its_manifest_says(tmp_path: Path) -> None:
    host = LocalHost.of_project(project(tmp_path, f"{MAIN}{CART}[vars]\nHELLO = 'x'".encode()))

    assert host.env.CART.id_from_name("a").size() == 0
    assert host.env.HELLO == "x"


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        ("main = ", "holdfast.toml: Invalid value"),
        ("", "holdfast.toml: main must name the module"),
        (MAIN + '[[actors]]\nbinding = "CART"\n', "holdfast.toml: each .* has a binding and a type"),
        (MAIN + '[[actors]]\nbinding = 5\ntype = "Cart"\n', "holdfast.toml: each .* has a binding and a type"),
        (MAIN + 'actors = ["CART"]\n', "holdfast.toml: each .* has a binding and a type"),
        (MAIN + CART + CART, "holdfast.toml: the binding CART is there twice"),
        (MAIN + CART + "[vars]\nCART = 'x'\n", "CART is a binding and a variable"),
        (MAIN + '[[actors]]\nbinding = "TEA"\ntype = "Tea"\n', "leads to Tea, which app.py does not export"),
        (MAIN + '[[actors]]\nbinding = "CART"\ntype = "Carrt"\n', "CART leads to Carrt, .* did you mean Cart?"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, manifest: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LocalHost.of_project(project(tmp_path, manifest.encode()))


def test_a_manifest_that_is_no_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holdfast\.toml: "):
        LocalHost.of_project(project(tmp_path, b"\xff"))


@pytest.mark.parametrize(
    ("requirements", "command"),
    [
        (None, "pip install 'jinja2>=3.1' nowhere"),
        ("nowhere", "pip install 'jinja2>=3.1' nowhere -r .*requirements.txt"),
    ],
)
def test_a_package_that_the_tests_python_lacks_is_told_with_the_command_that_installs_it(
    tmp_path: Path, requirements: str | None, command: str
) -> None:
    directory = project(tmp_path, f"{MAIN}dependencies = ['jinja2>=3.1', 'nowhere']\n{CART}".encode())
    (directory / "app.py").write_text(f"import nowhere.at_all\n{APP}")
    if requirements is not None:
        (directory / "requirements.txt").write_text(requirements)

    with pytest.raises(ModuleNotFoundError, match=f"No module named 'nowhere': tests run in your .*, or {command}$"):
        LocalHost.of_project(directory)


def test_a_module_of_the_project_itself_that_is_missing_is_no_package_to_install(tmp_path: Path) -> None:
    directory = project(tmp_path, f"{MAIN}{CART}".encode())
    (directory / "app.py").write_text(f"import nowhere\n{APP}")

    with pytest.raises(ModuleNotFoundError, match=r"^No module named 'nowhere'$"):
        LocalHost.of_project(directory)
