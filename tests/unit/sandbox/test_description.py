"""What a component may say of itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from holdfast_host.core.errors import InvalidComponentError
from holdfast_host.core.limits import Limits
from holdfast_host.sandbox.components.description import check_description
from holdfast_host.sandbox.signatures import taken_names


def described(**changes: Any) -> bytes:
    actor = {"type": "Account", "methods": [{"name": "deposit", "signature": "(amount: int)", "doc": "Add."}]}
    facts = {"contract": "1.0.0", "codec": 1, "actors": [actor], "fetch": False, **changes}
    return json.dumps(facts).encode()


def with_method(name: Any) -> bytes:
    return described(actors=[{"type": "Account", "methods": [{"name": name}]}])


def taking(parameters: Any) -> bytes:
    method = {"name": "deposit", "parameters": parameters}
    return described(contract="1.1.0", actors=[{"type": "Account", "methods": [method]}])


def schema(value: Any) -> bytes:
    return taking([{"name": "n", "schema": value}])


def test_what_is_left_out_is_filled_in() -> None:
    assert check_description(described(), Limits()) == {
        "contract": "1.0.0",
        "codec": 1,
        "actors": [
            {
                "type": "Account",
                "doc": "",
                "methods": [{"name": "deposit", "signature": "(amount: int)", "doc": "Add."}],
                "private": [],
            }
        ],
        "handlers": [],
    }


def test_a_function_without_actors_needs_a_fetch() -> None:
    assert check_description(described(actors=[], fetch=True), Limits())["actors"] == []
    with pytest.raises(InvalidComponentError, match="neither an actor class nor a fetch"):
        check_description(described(actors=[]), Limits())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b"", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no JSON object"),
        (described(contract="2.0.0"), "contract '2.0.0', this host has"),
        (described(contract="1.999.0"), "contract '1.999.0', this host has"),
        (described(contract="1"), "contract '1', this host has"),
        (described(contract=1), "'contract' that is no text"),
        (described(codec=3), "value encoding 3"),
        (described(codec=True), "value encoding True"),
        (described(fetch="yes"), "neither true nor false"),
        (described(actors={}), "'actors' that are no list"),
        (described(actors=["Account"]), "an actor that is no JSON object"),
        (described(actors=[{"type": "a__b"}]), "without '__'"),
        (described(actors=[{"type": "A" * 33}]), "the limit is 32"),
        (described(actors=[{"type": "A"}, {"type": "A"}]), "the actor type 'A' twice"),
        (described(actors=[{"type": "A", "methods": [{"name": "m"}] * 2}]), "the method of A 'm' twice"),
        (described(actors=[{"type": "A", "methods": {}}]), "no list"),
        (described(actors=[{"type": "A", "methods": [7]}]), "no JSON object"),
        (described(actors=[{"type": "A", "private": [7]}]), "no list of names"),
        (described(actors=[{"type": "A", "doc": "\ud800"}]), "lone surrogate"),
        (with_method("_hidden"), "'_hidden'"),
        (with_method("fetch"), "a method 'fetch' of Account, a name that no method may have"),
        (with_method("not a name"), "'not a name'"),
        (with_method(None), "'name' that is no text"),
        (with_method("m" * 65), "the limit is 64"),
        (described(actors=[{"type": f"T{at}"} for at in range(101)]), "101 actor types, the limit is 100"),
        (described(actors=[{"type": "A", "methods": [{}] * 501}]), "501 methods of A, the limit is 500"),
        (described(doc="x" * (4 << 20)), "the limit is 4194304"),
        (described(more=float("nan")), "a number that JSON has not"),
        (described().replace(b"{", b'{"deep":' + b"[" * 101 + b"]" * 101 + b",", 1), "deeper than the limit of 100"),
        (described(language="A language"), "'language' 'A language': it is a word of at most 32 characters"),
        (described(language=7), "'language' that is no text"),
        (taking({}), "bad 'parameters' of Account.deposit: they are no list"),
        (taking([{"name": "n"}] * 256), "of Account.deposit: there are 256, the limit is 255"),
        (taking(["amount"]), "deposit: one is no JSON object"),
        (taking([{"name": ""}]), "deposit: one has no name of 1 to 256 characters"),
        (taking([{"name": "n"}, {"name": "n"}]), "deposit: the name 'n' is there twice"),
        (taking([{"name": "n", "kind": "some"}]), "deposit: 'n' is of no kind that there is"),
        (taking([{"name": each, "kind": "names"} for each in "ab"]), "deposit: the kind 'names' is there twice"),
        (taking([{"name": "n", "required": 1}]), "'n' has a 'required' that is neither true nor false"),
        (taking([{"name": "n", "required": True, "default": 1}]), "'n' is required, but may be left out"),
        (taking([{"name": "n", "required": True, "kind": "positions"}]), "'n' is required, but may be left out"),
        (schema("integer"), "the schema of 'n' is neither an object nor true or false"),
        (schema({"type": "int"}), "'type' of the schema of 'n' is no type of JSON"),
        (schema({"type": []}), "'type' of the schema of 'n' is no type of JSON"),
        (schema({"$ref": "#/components/schemas/Error"}), "has '$ref': it has to stand for itself"),
        (schema({"properties": {"a": {"items": 7}}}), "'items' of 'a' in 'properties' of the schema of 'n' is neither"),
        (schema({"anyOf": []}), "'anyOf' of the schema of 'n' is no array of schemas"),
        (schema({"enum": "ab"}), "'enum' of the schema of 'n' is no array"),
        (schema({"required": [1]}), "'required' of the schema of 'n' is no array of texts"),
        (schema({"format": 1}), "'format' of the schema of 'n' is no text"),
        (schema({"maxItems": -1}), "'maxItems' of the schema of 'n' is no count"),
        (schema({"uniqueItems": 1}), "'uniqueItems' of the schema of 'n' is neither true nor false"),
        (schema({"properties": []}), "'properties' of the schema of 'n' is no object"),
    ],
)
def test_a_description_that_breaks_a_rule_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(InvalidComponentError, match="the component's description") as caught:
        check_description(text, Limits())

    assert problem in caught.value.message


@pytest.mark.limit("description_bytes_max", "actor_types_max", "methods_max")
@pytest.mark.parametrize(
    ("limit", "of_size", "problem"),
    [
        ("description_bytes_max", lambda size: described(doc="").ljust(size), "has 401 bytes, the limit is 400"),
        (
            "actor_types_max",
            lambda size: described(actors=[{"type": f"T{at}"} for at in range(size)]),
            "401 actor types, the limit is 400",
        ),
        (
            "methods_max",
            lambda size: described(actors=[{"type": "A", "methods": [{"name": f"m{at}"} for at in range(size)]}]),
            "401 methods of A, the limit is 400",
        ),
    ],
)
def test_a_description_at_a_limit_passes_and_one_past_it_does_not(
    limit: str, of_size: Callable[[int], bytes], problem: str
) -> None:
    limits = Limits().replace(**{limit: 400})
    check_description(of_size(400), limits)

    with pytest.raises(InvalidComponentError, match=problem):
        check_description(of_size(401), limits)


def test_parameters_are_kept_with_every_member_and_a_description_without_them_has_none() -> None:
    price = {"type": ["string", "integer"], "format": "decimal", "x-unit": "EUR"}
    given = [
        {"name": "price", "schema": price},
        {"name": "note", "kind": "name", "default": None},
        {"name": "more", "kind": "names", "schema": True},
    ]
    checked = check_description(taking(given), Limits())

    assert checked["actors"][0]["methods"][0]["parameters"] == [
        {"name": "price", "kind": "both", "required": True, "schema": price},
        {"name": "note", "kind": "name", "required": False, "schema": {}, "default": None},
        {"name": "more", "kind": "names", "required": False, "schema": True},
    ]
    assert check_description(json.dumps(checked).encode(), Limits()) == checked
    assert "parameters" not in check_description(described(), Limits())["actors"][0]["methods"][0]
    assert "language" not in check_description(described(), Limits())
    assert check_description(described(language="c++"), Limits())["language"] == "c++"


def handlers_of(contract: str, **told: Any) -> Any:
    text = described(contract=contract, actors=[{"type": "Account", "methods": [], **told}])
    checked = check_description(text, Limits())

    assert check_description(json.dumps(checked).encode(), Limits()) == checked, "it is checked again where it is kept"
    return checked["actors"][0].get("handlers")


def test_a_type_of_1_0_that_tells_no_handlers_is_not_known_to_have_none() -> None:
    assert handlers_of("1.0.0") is None
    assert handlers_of("1.0.0", hooks=[]) == []
    assert handlers_of("1.0.0", hooks=["alarm"]) == ["alarm"]
    assert handlers_of("1.0.0", hooks=["later", "fetch"]) == ["fetch"]


def test_a_type_has_the_handlers_that_it_lists_and_no_other() -> None:
    assert handlers_of("1.1.0") == []
    assert handlers_of("1.1.0", hooks=["alarm"]) == []
    assert handlers_of("1.1.0", handlers=["later", "fetch", "alarm"]) == ["alarm", "fetch"]


def test_a_function_has_the_handlers_that_it_lists() -> None:
    def own(**told: Any) -> Any:
        return check_description(described(**told), Limits())["handlers"]

    assert [own(fetch=True), own(fetch=False)] == [["fetch"], []]
    assert own(contract="1.1.0", fetch=True) == own(contract="1.1.0", fetch=True, handlers=[]) == []
    assert own(contract="1.1.0", handlers=["fetch", "later"]) == ["fetch"]


@pytest.mark.parametrize("told", ["alarm", {"alarm": True}, [1]])
def test_handlers_that_are_no_list_of_names_are_refused(told: Any) -> None:
    with pytest.raises(InvalidComponentError, match="'hooks' of Account that are no list of names"):
        handlers_of("1.0.0", hooks=told)
    with pytest.raises(InvalidComponentError, match="'handlers' of Account that are no list of names"):
        handlers_of("1.1.0", handlers=told)
    with pytest.raises(InvalidComponentError, match="'handlers' that are no list of names"):
        check_description(described(handlers=told), Limits())


@pytest.mark.parametrize("name", sorted(taken_names(1)))
def test_a_name_that_is_taken_is_no_methods(name: str) -> None:
    text = with_method(name).replace(b"1.0.0", b"1.1.0")

    with pytest.raises(InvalidComponentError, match=f"a method '{name}' of Account, a name that no method may have"):
        check_description(text, Limits())


@pytest.mark.parametrize("name", sorted(taken_names(1) - taken_names(0)))
def test_a_component_of_1_0_keeps_the_names_that_1_1_takes(name: str) -> None:
    [actor] = check_description(with_method(name), Limits())["actors"]

    assert actor["methods"][0]["name"] == name
