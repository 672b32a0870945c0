"""What the model may have done: a notebook, in the session's own storage, and sums."""

import json

from holdfast import LimitError

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "remember",
            "description": "Write something into the notebook under a name.",
            "parameters": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "text": {"type": "string"}},
                "required": ["name", "text"],
            },
        },
    },
    {
        "type": "function",
        "function": {
            "name": "recall",
            "description": "Read what the notebook has under a name.",
            "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
        },
    },
]


def run_tool(storage, name: str, arguments: str) -> str:
    """Do what the model asks for; what it gets to read. What does not fit is an answer too, never an exception."""
    try:
        given = json.loads(arguments)
        if name == "remember":
            storage.put(f"note:{given['name']}", str(given["text"]))
            return "noted"
        if name == "recall":
            return storage.get(f"note:{given['name']}", "there is no such note")
    except (ValueError, TypeError, KeyError, RecursionError, LimitError) as error:
        return f"these arguments do not fit {name}: {error!r}"
    return f"there is no tool {name}"
