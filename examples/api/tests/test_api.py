import json

import pytest

from holdfast import Request

ITEMS = "http://api.localhost/lists/home/items"


@pytest.fixture
def ask(host):
    def ask(method, url, body=None, **headers):
        text = "" if body is None else body if isinstance(body, str) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        response = host.fetch(Request(url, method, named, text))
        return response.status, json.loads(response.text()) if response.body else None

    return ask


def test_items_are_added_changed_listed_and_removed(ask):
    assert ask("POST", ITEMS, {"text": "milk"}) == (201, {"number": 1, "text": "milk", "done": False})
    assert ask("POST", ITEMS, {"text": "bread"})[0] == 201
    assert ask("PATCH", f"{ITEMS}/1", {"done": True}) == (200, {"number": 1, "text": "milk", "done": True})
    assert ask("GET", f"{ITEMS}?done=false") == (200, [{"number": 2, "text": "bread", "done": False}])
    assert ask("PATCH", f"{ITEMS}/1", {"done": "yes"})[1]["error"]["code"] == "bad_done"
    assert ask("DELETE", f"{ITEMS}/2") == (204, None)
    assert ask("GET", ITEMS) == (200, [{"number": 1, "text": "milk", "done": True}])
    assert ask("GET", f"{ITEMS}/1") == (200, {"number": 1, "text": "milk", "done": True})


def test_a_request_that_is_sent_again_adds_nothing_twice(ask):
    first = ask("POST", ITEMS, {"text": "milk"}, Idempotency_Key="a")

    assert ask("POST", ITEMS, {"text": "milk"}, Idempotency_Key="a") == first
    assert len(ask("GET", ITEMS)[1]) == 1
    assert ask("POST", ITEMS, {"text": "tea"}, Idempotency_Key="a")[1]["error"]["code"] == "IdempotencyConflictError"


def test_what_was_answered_survives_a_crash(ask, host):
    ask("POST", ITEMS, {"text": "milk"})
    host.crash()

    assert [item["text"] for item in ask("GET", ITEMS)[1]] == ["milk"]


@pytest.mark.parametrize(
    ("method", "url", "body", "status", "code"),
    [
        ("GET", f"{ITEMS}/7", None, 404, "no_such_item"),
        ("DELETE", f"{ITEMS}/7", None, 404, "no_such_item"),
        ("GET", f"{ITEMS}/seven", None, 400, "bad_request"),
        ("GET", "http://api.localhost/elsewhere", None, 404, "not_found"),
        ("PUT", ITEMS, None, 405, "method_not_allowed"),
        ("POST", ITEMS, "{", 400, "bad_request"),
        ("POST", ITEMS, {"txt": "milk"}, 400, "bad_request"),
        ("POST", ITEMS, {"text": " "}, 400, "bad_text"),
        ("POST", ITEMS, {"text": 7}, 400, "bad_text"),
        ("PATCH", f"{ITEMS}/7", {"done": True}, 404, "no_such_item"),
    ],
)
def test_every_error_has_a_status_and_a_code(ask, method, url, body, status, code):
    found, answer = ask(method, url, body)

    assert (found, answer["error"]["code"]) == (status, code)
