from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import tomlkit

from holdfast_host.build.errors import BuildError
from holdfast_host.build.sources import import_root
from holdfast_host.core.errors import InvalidManifestError, InvalidNameError
from holdfast_host.core.limits import MIB, Limits
from holdfast_host.core.manifest import ActorEntry, Manifest, derive_manifest, parse_manifest, upper_snake
from holdfast_host.core.project_manifest import read_manifest, write_func_id

LEAST = 'name = "account"\ncompatibility_date = "2026-11-01"\n'

WHOLE = """
# what it is
name = "account"
main = "src/app.py"                 # exports the actor classes
compatibility_date = 2026-11-01
check_arguments = true
dependencies = ["attrs>=25", "tiny @ file:///tmp/tiny.whl"]

[[actors]]
binding = "ACCOUNT"
type = "Account"
renamed_from = "Wallet"

[[actors]]
binding = "LEDGER"
type = "Ledger"

[secrets]
names = ["API_KEY", "OTHER"]

[vars]
GREETING = "hello"

[limits]
memory_mib = 32
method_s = 2.5

[deploy]
func_id = "fn_01abc-_Z"
"""


def test_main_may_be_in_any_language_and_a_build_wants_python(tmp_path: Path) -> None:
    """Who deploys a component of another language keeps its manifest beside its source."""
    for main in ("src/index.ts", "src/lib.rs", "src/my-app.py", "main.go"):
        assert parse_manifest(f'{LEAST}main = "{main}"').main == main
        with pytest.raises(BuildError, match=f"^{main}: holdfast builds Python, .* --component FILE.wasm"):
            import_root(tmp_path, main)


def test_a_reference_may_be_optional() -> None:
    table = '[[actors]]\nbinding = "LEDGER"\ntype = "Ledger"\n'

    assert parse_manifest(f"{LEAST}{table}optional = true").actors == (ActorEntry("LEDGER", "Ledger", optional=True),)
    with pytest.raises(InvalidManifestError, match=r"actors \(1\).optional as a string, it must be true or false"):
        parse_manifest(f'{LEAST}{table}optional = "yes"')
    with pytest.raises(InvalidManifestError, match="Ledger is optional and was renamed: only a reference is optional"):
        parse_manifest(f'{LEAST}{table}optional = true\nrenamed_from = "Book"')


def test_a_whole_manifest_is_read_as_it_is_written() -> None:
    assert parse_manifest(WHOLE) == Manifest(
        name="account",
        main="src/app.py",
        compatibility_date=date(2026, 11, 1),
        check_arguments=True,
        dependencies=("attrs>=25", "tiny @ file:///tmp/tiny.whl"),
        actors=(ActorEntry("ACCOUNT", "Account", "Wallet"), ActorEntry("LEDGER", "Ledger")),
        vars={"GREETING": "hello"},
        secrets=("API_KEY", "OTHER"),
        memory_bytes_max=32 * MIB,
        method_timeout_s=2.5,
        func_id="fn_01abc-_Z",
    )


def test_only_a_name_and_a_date_are_needed() -> None:
    assert parse_manifest(LEAST) == Manifest(name="account")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name = ", "is no TOML: .*line 1"),
        ("name = 'a'\nname = 'b'", "is no TOML"),
        ('compatibility_date = "2026-11-01"', 'has no name: add name = "my-function"'),
        ('name = "Account"\ncompatibility_date = "2026-11-01"', "'Account' is no function name"),
        ('name = ""\ncompatibility_date = "2026-11-01"', "has an empty name"),
        ('name = 3\ncompatibility_date = "2026-11-01"', "name as an integer, it must be a string"),
        ('name = "a"', 'has no compatibility_date: add compatibility_date = "2026-11-01"'),
        ('name = "a"\ncompatibility_date = "soon"', "compatibility_date = 'soon', it must be a date"),
        ('name = "a"\ncompatibility_date = "2026-13-01"', "it must be a date"),
        ('name = "a"\ncompatibility_date = 2026-11-01T12:00:00', "it must be a date"),
        ('name = "a"\ncompatibility_date = "2099-01-01"', "2099-01-01, this host knows none later than 2026-11-01"),
        (LEAST + 'mian = "src/app.py"', "unknown key mian; known here: name, main"),
        (LEAST + 'main = "/etc/app.py"', "a path inside the project"),
        (LEAST + 'main = "../app.py"', "a path inside the project"),
        (LEAST + "actors = 3", r"it must be tables: \[\[actors\]\]"),
        (LEAST + '[[actors]]\ntype = "Account"', r"has no actors \(1\)\.binding"),
        (LEAST + '[[actors]]\nbinding = "A"', r"has no actors \(1\)\.type"),
        (LEAST + '[[actors]]\nbinding = "A"\ntype = "B"\nclass = "C"', r"unknown key actors \(1\)\.class"),
        (LEAST + '[[actors]]\nbinding = "A B"\ntype = "B"', "'A B' is no binding"),
        (LEAST + '[[actors]]\nbinding = "A__B"\ntype = "B"', "'A__B' is no binding"),
        (LEAST + '[[actors]]\nbinding = "A"\ntype = "B-C"', "'B-C' is no actor type"),
        (LEAST + f'[[actors]]\nbinding = "A"\ntype = "{"B" * 33}"', "33 characters, the limit is 32"),
        (LEAST + '[[actors]]\nbinding = "A"\ntype = "B"\nrenamed_from = "B"', "B was renamed from itself"),
        (LEAST + '[[actors]]\nbinding = "A"\ntype = "B"\n' * 2, "the binding A twice"),
        (LEAST + '[[actors]]\nbinding = "A"\ntype = "B"\n[vars]\nA = "x"', "A both as a binding and as a variable"),
        (LEAST + "[vars]\nN = 3", "vars.N as an integer, it must be a string"),
        (LEAST + '[vars]\n"a-b" = "x"', "'a-b' is no variable"),
        (LEAST + '[vars]\n_x = "x"', "does not begin with an underscore"),
        (LEAST + "vars = 3", "it must be a table"),
        (LEAST + "secrets = 3", "has secrets as an integer, it must be a table"),
        (LEAST + '[secrets]\nAPI_KEY = "x"', "unknown key secrets.API_KEY; known here: names"),
        (LEAST + '[secrets]\nnames = "API_KEY"', "secrets.names as no list of strings, like names = "),
        (LEAST + '[secrets]\nnames = ["_x"]', "does not begin with an underscore"),
        (LEAST + '[outbound]\nallow = "https://h"', "allow is no list of strings, like"),
        (LEAST + '[outbound]\nallow = ["h.example"]', "'h.example' is no pattern like"),
        (LEAST + '[outbound.headers."https://h"]\nA = "b"', "'https://h', an origin that allow does not list"),
        (LEAST + '[outbound]\nallow = ["https://h"]\n[outbound.headers."https://h/x"]\nA = "b"', "is no origin like"),
        (LEAST + '[outbound]\nallow = ["https://h"]\n[outbound.headers."https://h"]\nA = 1', "that are no texts"),
        (LEAST + '[outbound]\nallow = ["https://h"]\n[outbound.headers."https://h"]\nHost = "b"', "no header that can"),
        (LEAST + '[outbound]\nallow = ["https://h"]\n[outbound.headers."https://h"]\nA = "b\\n"', "no header can have"),
        (LEAST + '[secrets]\nnames = ["A", "A"]', "A as a secret and a second time: each name on env is declared once"),
        (LEAST + '[vars]\nA = "x"\n[secrets]\nnames = ["A"]', "A as a secret and a second time"),
        (LEAST + "[limits]\nmemory_mib = 65", "limits.memory_mib = 65, it must be 25 to 64 MiB on this host"),
        (LEAST + "[limits]\nmemory_mib = 30.5", "a whole number"),
        (LEAST + "[limits]\nmethod_s = 0", "limits.method_s = 0"),
        (LEAST + "[limits]\nmethod_s = true", "method_s as a boolean, it must be a number of seconds"),
        (LEAST + "[limits]\ncpu = 1", "unknown key limits.cpu"),
        (LEAST + 'check_arguments = "yes"', "check_arguments as a string, it must be true or false"),
        (LEAST + "check_arguments = 1", "check_arguments as an integer, it must be true or false"),
        (LEAST + 'dependencies = "attrs"', "no list of strings"),
        (LEAST + 'dependencies = ["--index-url=x"]', "must be a requirement"),
        (LEAST + '[deploy]\nfunc_id = "mine"', "which no host wrote"),
        (LEAST + "deploy = 1", "deploy as an integer, it must be a table"),
        (LEAST + 'deploy = ""', "deploy as a string, it must be a table"),
        (LEAST + "limits = false", "limits as a boolean, it must be a table"),
        (LEAST + "limits = []", "limits as an array, it must be a table"),
        (LEAST + "[triggers]\ncron = []", "unknown key triggers.cron; known here: crons"),
        (LEAST + '[triggers]\ncrons = "@daily"', r"triggers.crons as no list of strings, like crons ="),
        (
            LEAST + '[triggers]\ncrons = ["61 * * * *"]',
            r"in \[triggers\]: the cron text '61 \* \* \* \*' has a bad minute",
        ),
        (LEAST + '[triggers]\ncrons = ["@daily", "@daily"]', "'@daily' twice in triggers.crons"),
        (LEAST + f"[triggers]\ncrons = {['@daily'] * 51}", "51 triggers.crons, the limit is 50"),
    ],
)
def test_each_broken_rule_is_one_sentence_about_the_file(text: str, message: str) -> None:
    with pytest.raises(InvalidManifestError, match=message) as caught:
        parse_manifest(text)

    assert caught.value.message.startswith("holdfast.toml ")
    assert "\n" not in caught.value.message


def test_a_manifest_lists_when_its_function_runs() -> None:
    assert parse_manifest(LEAST).crons == ()
    assert parse_manifest(LEAST + '[triggers]\ncrons = ["*/5 * * * *", "@daily"]').crons == ("*/5 * * * *", "@daily")


def test_the_operator_decides_how_much_a_function_may_ask_for() -> None:
    text = LEAST + "[limits]\nmemory_mib = 100\nmethod_s = 60"

    assert parse_manifest(text, Limits(memory_bytes_max=128 * MIB, method_timeout_s=60)).memory_bytes_max == 100 * MIB
    with pytest.raises(InvalidManifestError, match=r"0\.001 to 10 seconds"):
        parse_manifest(text, Limits(memory_bytes_max=128 * MIB, method_timeout_s=10))


def test_a_project_without_a_manifest_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InvalidManifestError, match=f"there is no holdfast.toml in {tmp_path}"):
        read_manifest(tmp_path)


def test_a_manifest_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "holdfast.toml").write_bytes(b"name = '\xff'")

    with pytest.raises(InvalidManifestError, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_bare_components_classes_are_bound_under_their_upper_snake_names() -> None:
    manifest = derive_manifest("shop", ["ShoppingCart", "User"])

    assert manifest.actors == (ActorEntry("SHOPPING_CART", "ShoppingCart"), ActorEntry("USER", "User"))
    with pytest.raises(InvalidNameError):
        derive_manifest("Shop", [])


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Account", "ACCOUNT"),
        ("HTTPCache2", "HTTP_CACHE2"),
        ("user_Cart", "USER_CART"),
        ("A", "A"),
        ("cartV2", "CART_V2"),
    ],
)
def test_upper_snake_names(name: str, snake: str) -> None:
    assert upper_snake(name) == snake


def test_writing_the_func_id_keeps_comments_and_order(tmp_path: Path) -> None:
    path = tmp_path / "holdfast.toml"
    path.write_text(WHOLE.partition("[deploy]")[0])
    path.chmod(0o640)

    write_func_id(tmp_path, "fn_1")

    assert path.read_text() == WHOLE.partition("[deploy]")[0] + '[deploy]\nfunc_id = "fn_1"\n'
    assert path.stat().st_mode & 0o777 == 0o640

    write_func_id(tmp_path, "fn_2")

    assert tomlkit.parse(path.read_text())["deploy"] == {"func_id": "fn_2"}
    assert "# exports the actor classes" in path.read_text()
    assert list(tmp_path.iterdir()) == [path]
