"""A conversation with a model that calls tools. What the model says reaches every reader word by word, and is kept."""

import json
from pathlib import Path

from notebook import TOOLS, run_tool

from holdfast import ActorCallError, ActorError, Env, LimitError, Outcome, Request, Response, StatefulActor

TOPIC = "session"  # everything that is said, word by word: who follows it has it all
KEPT = 5_000  # events of it, as many as the host keeps of the model's words
PAGE = (Path(__file__).parent / "page.html").read_text()
STEPS_MAX = 8  # how often the model may call tools before it must answer


class Session(StatefulActor):
    """One conversation. Its messages are in storage; an answer that is under way is a job of the host.

    While the model answers, no turn runs and nothing waits: each piece of the answer is a turn of its own, so other
    calls come between, and a deploy or the death of a worker loses no word.
    """

    def say(self, text: str) -> dict:
        """Say something to the model; its answer comes through the topic."""
        if not text.strip():
            raise ActorError("say something", code="empty", status=400)
        if self.answering():
            raise ActorError("the model is still answering: stop it first", code="busy", status=409)
        count = self._add({"role": "user", "content": text})
        self._tell("user", text)
        self._ask(step=1)
        return {"messages": count}

    def stop(self) -> dict:
        """End the answer that is under way, and the request for it."""
        stopped = self.ctx.cancel(key="answer")
        if stopped:
            self._tell("done", "stopped")
        return {"stopped": stopped}

    def answering(self) -> bool:
        """Whether the model is at work."""
        return any(job.key == "answer" and job.state != "abandoned" for job in self.ctx.jobs())

    def messages(self) -> list:
        """The conversation, as the model gets it: the newest 1,000 messages."""
        return [*self.ctx.storage.list(prefix="message:", reverse=True, limit=1000).values()][::-1]

    def fetch(self, request: Request) -> Response:
        """Follow the conversation: a new reader gets it from its beginning, one that comes again what it missed."""
        comes_again = request.headers.get("Last-Event-ID")
        return self.ctx.subscribe(request, TOPIC, after=None if comes_again else 0)

    def _ask(self, step: int) -> None:
        """Have the model go on from what was said so far, in a job: it goes out when this turn has committed."""
        request = {"model": self.env.MODEL, "stream": True, "messages": self.messages()}
        if step <= STEPS_MAX:
            request["tools"] = TOOLS
        self.ctx.storage.put("step", step)
        try:
            self.ctx.outbox.http(
                "POST",
                self.env.MODEL_URL,
                json=request,
                stream_to=TOPIC,  # the words, while they come
                then="_answered",  # the whole, when it is there
                key="answer",
            )
        except LimitError as error:  # a job has 256 KiB
            self._tell("failed", f"this conversation is too long: {error}")

    def _answered(self, outcome: Outcome) -> None:
        """The model has answered, or cannot be had. Keep what it said; where it calls tools, run them and go on."""
        if not outcome.ok or outcome.response is None:
            self._tell("failed", _why(outcome))
            return
        try:
            message = assemble(event.data for event in outcome.response.events())
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._tell("failed", f"the model said what nobody understands: {error!r:.200}")
            return
        step = self.ctx.storage.get("step")
        if step > STEPS_MAX:
            message.pop("tool_calls", None)  # it was offered none
        self._add(message)
        if "tool_calls" not in message:
            self._tell("done", "answered")
            return
        for call in message["tool_calls"]:
            result = run_tool(self.ctx.storage, call["function"]["name"], call["function"]["arguments"])
            self._add({"role": "tool", "tool_call_id": call["id"], "content": result})
            self._tell("tool", {"tool": call["function"]["name"], "result": result})
        self._ask(step + 1)

    def _tell(self, event: str, data: object) -> None:
        """Say something to all readers, between the model's words."""
        self.ctx.publish(TOPIC, data, event=event, keep=KEPT)

    def _add(self, message: dict) -> int:
        count = self.ctx.storage.get("count", 0) + 1
        self.ctx.storage.put("count", count)
        self.ctx.storage.put(f"message:{count:06}", message)
        return count


def assemble(chunks) -> dict:
    """The message that a model has streamed: its words, and the tools that it calls, from all their pieces."""
    text, calls = "", {}
    for chunk in chunks:
        if chunk == "[DONE]":
            break
        choices = json.loads(chunk).get("choices")
        delta = choices[0]["delta"] if choices else {}  # one that counts tokens has none
        text += delta.get("content") or ""
        for part in delta.get("tool_calls") or ():
            call = calls.setdefault(
                part["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] += part.get("id") or ""
            for name, value in part.get("function", {}).items():
                call["function"][name] += value or ""
    message = {"role": "assistant", "content": text}
    return {**message, "tool_calls": [calls[index] for index in sorted(calls)]} if calls else message


def fetch(request: Request, env: Env) -> Response:
    """The page, and what it asks; what the session refuses is said under its status."""
    try:
        return _route(request, env)
    except ActorCallError as error:
        return Response(error.message, error.status or 500)


def _route(request: Request, env: Env) -> Response:
    """`POST /sessions/NAME/say`, `POST .../stop`, `GET .../events`."""
    match request.method, request.path.strip("/").split("/"):
        case "GET", [""]:
            return Response(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
        case "GET", ["sessions", name, "events"] if name and request.wants_events:
            return env.SESSION.id_from_name(name).fetch(request)
        case "POST", ["sessions", name, "say"] if name:
            return Response.json(env.SESSION.id_from_name(name).say(request.text()))
        case "POST", ["sessions", name, "stop"] if name:
            return Response.json(env.SESSION.id_from_name(name).stop())
    return Response("not found\n", status=404)


def _why(outcome: Outcome) -> str:
    if outcome.response is not None:
        return f"the model answered {outcome.response.status}"
    return f"the model cannot be had: {outcome.error}"
