"""Arguments that come as plain JSON, checked and converted by annotations: on a real host, and in the test kit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.testing import LocalHost
from tests.harness import components
from tests.harness.components import TestComponent
from tests.harness.deploying import deploy
from tests.harness.host import HostProcess

TYPED = Path(__file__).parents[1] / "harness" / "guests" / "typed"

Call = Callable[[str, str], tuple[int, str]]  # method and body; status, and the result or the error's message


@pytest.fixture(scope="module")
def component() -> TestComponent:
    return components.built(TYPED)


@pytest.fixture(scope="module")
def host(component: TestComponent, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostProcess]:
    with HostProcess(tmp_path_factory.mktemp("typed") / "data") as host:
        deploy(host, component)
        yield host


@pytest.fixture(scope="module")
def on_a_host(host: HostProcess) -> Call:
    return _calling(host)


@pytest.fixture(scope="module")
def in_the_kit() -> Call:
    host = LocalHost.of_project(TYPED)

    def call(method: str, body: str) -> tuple[int, str]:
        answer = host.post("Shop", "a", method, body)
        return answer.status, str(answer.value if answer.status == 200 else answer.value["error"]["message"])

    return call


@pytest.fixture(params=["on_a_host", "in_the_kit"])
def call(request: pytest.FixtureRequest) -> Call:
    found: Call = request.getfixturevalue(request.param)
    return found


def _calling(host: HostProcess) -> Call:
    def call(method: str, body: str) -> tuple[int, str]:
        with host.caller() as caller:
            answer = caller.request("POST", f"/v1/actors/Shop/a/{method}", body)
        return answer.status, str(answer.value if answer.status == 200 else answer.value["error"]["message"])

    return call


@pytest.mark.slow
def test_what_a_method_takes_is_listed_in_no_languages_notation(host: HostProcess) -> None:
    with host.caller() as caller:
        [shop] = caller.request("GET", "/v1/actors").value["actors"]
        schemas = caller.request("GET", "/v1/openapi.json").value["components"]["schemas"]
    methods = {each["name"]: each for each in shop["methods"]}

    assert (shop["language"], shop["handlers"]) == ("python", [])
    decimal = {"type": ["string", "integer"], "format": "decimal"}
    assert methods["price"]["parameters"] == [{"name": "price", "kind": "both", "required": True, "schema": decimal}]
    assert [(each["name"], each["kind"], each["required"]) for each in methods["count"]["parameters"]] == [
        ("n", "both", True),
        ("more", "positions", False),
        ("by", "name", False),
    ]
    assert {"language", "handlers"} <= schemas["ActorTypes"]["properties"]["actors"]["items"]["properties"].keys()


@pytest.mark.parametrize(
    ("method", "body", "given"),
    [
        ("price", '{"price":"9.90"}', "Decimal('9.90')"),
        ("price", "[9]", "Decimal('9')"),
        ("count", '{"n":5}', "(5, (), None)"),
        ("count", "[5,6,7]", "(5, (6, 7), None)"),
        ("count", '{"n":5.0,"by":null}', "(5, (), None)"),
        ("count", '{"by":3,"n":2}', "(2, (), 3)"),
        ("plain", "[true,1]", "(True, 1.0, '')"),
        ("plain", '[false,0.5,"x"]', "(False, 0.5, 'x')"),
        (
            "moments",
            '["2026-11-01","2026-11-01T12:00:00Z","12:30",90.5]',
            "('2026-11-01', '2026-11-01T12:00:00+00:00', '12:30:00', 90.5)",
        ),
        (
            "others",
            '["AP8=","00000000-0000-0000-0000-0000000000ff",5]',
            r"(b'\x00\xff', '00000000-0000-0000-0000-0000000000ff', 5, 0)",
        ),
        (
            "chosen",
            '["red","open",3,"m"]',
            "(<Colour.RED: 'red'>, <Status.OPEN: 'open'>, <Level.HIGH: 3>, 'm')",
        ),
        ("chosen", '["MIXED","open",3,1]', "(<Colour.MIXED: (1, 2)>, <Status.OPEN: 'open'>, <Level.HIGH: 3>, 1)"),
        (
            "containers",
            '[["1.10",2],{"2026-11-01":1},["a","b","a"],[1,"2026-11-02"],[[1,2],[]]]',
            "([Decimal('1.10'), Decimal('2')], {datetime.date(2026, 11, 1): 1}, ['a', 'b'],"
            " (1, datetime.date(2026, 11, 2)), [(1, 2), ()])",
        ),
        ("keyed", '{"names":{"1":"a","22":"b"}}', "{1: 'a', 22: 'b'}"),
        (
            "item",
            '[{"name":"box","price":"3","parts":[{"name":"pen","price":"1.5"}]}]',
            "Item(name='box', price=Decimal('3'), parts=[Item(name='pen', price=Decimal('1.5'), parts=[])])",
        ),
        (
            "move",
            '{"to":{"city":"Bonn","since":"2026-11-01"},"until":"2026-11-02"}',
            "({'city': 'Bonn', 'since': datetime.date(2026, 11, 1)}, {'until': datetime.date(2026, 11, 2)})",
        ),
        ("either", '["1.5"]', "'1.5'"),
        ("either", "[2]", "Decimal('2')"),
        ("either", "[[1,2]]", "[1, 2]"),
        ("unknown", '[{"a":[1]},2,3]', "({'a': [1]}, 2, 3)"),
    ],
)
def test_an_argument_comes_as_its_annotation_says(call: Call, method: str, body: str, given: str) -> None:
    assert call(method, body) == (200, given)


@pytest.mark.parametrize(
    ("method", "body", "fault"),
    [
        ("count", '{"n":"x"}', "n is 'x', not an integer; it is count(n: int, *more: int, by: int | None = None)"),
        ("count", "[true]", "n is true, not an integer"),
        ("count", "[1.5]", "n is 1.5, not an integer"),
        ("count", '[1,2,"x"]', "more is 'x', not an integer"),
        ("count", '{"n":1,"by":"x"}', "by is 'x', not an integer or null"),
        ("count", '[null]', "n is null, not an integer"),
        ("count", f"[{'9' * 100}.5]", "n is 1e+100, not an integer"),
        ("price", "[9.9]", 'price is 9.9, not a decimal: a JSON number is rounded, send it as text such as "9.90"'),
        ("price", '["nine"]', """price is 'nine', not a decimal as text such as "9.90\""""),
        ("price", '[{"$hf":"decimal","v":"1"}]', "price is an object, not a decimal"),
        ("plain", '[1,1]', "flag is 1, not true or false"),
        ("plain", '[true,"1"]', "share is '1', not a number"),
        ("plain", "[true,9007199254740993]", "share is 9007199254740993, not a number that a float can hold exactly"),
        ("plain", "[true,1,7]", "text is 7, not a string"),
        ("moments", '["tomorrow","","",0]', """on is 'tomorrow', not a date such as "2026-11-01\""""),
        ("others", '["*","x",5]', "data is '*', not bytes as base64"),
        ("chosen", '["blue","open",3]', "colour is 'blue', not one of 'red', 'MIXED'"),
        ("chosen", '["red","open",true]', "level is true, not one of 3"),
        ("chosen", '["red","open",3,2]', "size is 2, not one of 's', 'm', 1"),
        ("containers", '[["1","x"],{}]', "prices[1] is 'x', not a decimal"),
        ("containers", '[[],{"x":1}]', "by_day['x'] has a key that is not a date"),
        ("containers", '[[],{"2026-11-01":"x"}]', "by_day['2026-11-01'] is 'x', not an integer"),
        ("containers", "[[],{},[],[1]]", "pair is an array, not an array of 2 or null"),
        ("containers", '[[],{},[],[1,"x"]]', "pair[1] is 'x', not a date"),
        ("keyed", '[{"1":"a","01":"b"}]', "names['01'] has a key that is not an integer"),
        ("keyed", '[{"1":"a","1.0":"b"}]', "names has two keys that are equal"),
        ("item", '[{"name":"a","price":"1","parts":[{"name":"b","price":"x"}]}]', "item['parts'][0]['price'] is 'x'"),
        ("item", '[{"name":"a"}]', "item has no 'price', which Item needs"),
        ("item", '[{"name":"a","price":"1","prize":2}]', "item has 'prize', which is no field of Item (name,"),
        ("item", '[{"name":"","price":"1"}]', "item is no Item: it has no name"),
        ("item", '["a"]', "item is 'a', not an object with the fields of Item (name, price, parts)"),
        ("plain", "[true]", "missing a required argument: 'share'"),
        ("plain", '{"flag":true}', "missing a required argument: 'share'"),
        ("plain", '{"flag":true,"share":1.5,"more":1}', "got an unexpected keyword argument 'more'"),
        ("plain", '[true,1.5,"x",1]', "too many positional arguments"),
        ("move", '[{"since":"2026-11-01"}]', "to has no 'city', which Address needs"),
        ("move", '{"to":{"city":"Bonn"},"until":1}', "until is 1, not a date"),
        ("either", "[true]", "value is true, not a decimal"),
        ("either", '[[1,"x"]]', "value[1] is 'x', not an integer"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_is_named_with_400_and_nothing_runs(
    call: Call, method: str, body: str, fault: str
) -> None:
    status, message = call(method, body)

    assert status == 400
    assert message.startswith(f"Shop.{method}: {fault}")
    assert f"; it is {method}(" in message


def test_what_comes_with_its_types_is_not_looked_at(on_a_host: Call, component: TestComponent) -> None:
    assert on_a_host("of_another", '["b"]') == (200, "1.5")


@pytest.mark.slow
def test_a_function_that_does_not_say_does_as_its_host_does_and_one_that_says_no_is_obeyed(
    component: TestComponent, tmp_path: Path
) -> None:
    said = component.manifest.read_text()
    for option, line, status in (
        ((), "", 200),
        (("--check-arguments", "on"), "", 400),
        (("--check-arguments", "on"), "check_arguments = false", 200),
        ((), "check_arguments = true", 400),
    ):
        folder = tmp_path / f"{len(option)}{len(line)}"
        folder.mkdir()
        manifest = folder / "holdfast.toml"
        manifest.write_text(said.replace("check_arguments = true", line))
        with HostProcess(folder / "data", *option) as host:
            deploy(host, replace(component, manifest=manifest))
            answers = [_calling(host)("count", '["x"]')]
            host.stop()
            host.start()
            answers.append(_calling(host)("count", '["x"]'))

        assert [each for each, _ in answers] == [status, status], (option, line)


def test_a_project_of_the_kit_says_whether_and_a_bare_host_is_told(tmp_path: Path) -> None:
    project = LocalHost.of_project(TYPED)
    shop = project._runner.component.actors["Shop"]

    assert project.post(shop, "a", "count", ["x"]).error == "BadArgumentsError"
    assert LocalHost({"SHOP": shop}).post(shop, "a", "count", ["x"]).status == 200
    assert LocalHost({"SHOP": shop}, check_arguments=True).post(shop, "a", "count", ["x"]).status == 400
    assert json.loads(project.post(shop, "a", "price", ["1.10"]).text) == "Decimal('1.10')"
