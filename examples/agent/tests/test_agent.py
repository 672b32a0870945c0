import json

import pytest

from holdfast import ActorCallError, Request, Response
from holdfast.http import OutboundUnreachableError

URL = "http://127.0.0.1:9100/v1/chat/completions"
SSE = {"Content-Type": "text/event-stream"}


def chunk(**delta):
    return f"data: {json.dumps({'choices': [{'delta': delta}]})}\n\n"


def words(*said):
    """A model that says this, a word at a time."""
    yield from (chunk(content=word) for word in said)
    yield "data: [DONE]\n\n"


def calling(name, arguments):
    """A model that calls a tool, whose arguments come in two pieces."""
    text = json.dumps(arguments)
    yield chunk(tool_calls=[{"index": 0, "id": "call_1", "function": {"name": name, "arguments": text[:5]}}])
    yield chunk(tool_calls=[{"index": 0, "function": {"arguments": text[5:]}}])
    yield "data: [DONE]\n\n"


def answers(host, *bodies):
    """The model gives these answers, one for each time that it is asked."""
    left = iter(bodies)
    host.outbound.answer(URL, lambda request: Response(next(left), headers=SSE))


def heard(reader):
    """What a reader has got: the model's words as they are, the rest by name."""
    found = []
    for event in reader.received:
        if event.event is not None:
            found.append((event.event, event.data))
        elif event.data != "[DONE]":
            word = json.loads(event.data)["choices"][0]["delta"].get("content")
            found += [word] if word else []
    return found


def heard_names(reader):
    """The names of all events."""
    return [event.event for event in reader.received]


@pytest.fixture
def session(host):
    return host.env.SESSION.id_from_name("ada")


@pytest.fixture
def reader(host):
    return host.events("Session", "ada", "/")


def test_words_reach_the_reader_while_they_come_and_other_calls_come_between(host, session, reader):
    between = []

    def model():
        yield chunk(content="Hold")
        between.append((heard(reader)[-1], session.answering()))
        host.crash_worker()  # costs nothing: what is committed is there, and the answer goes on
        yield chunk(content="fast")
        yield "data: [DONE]\n\n"

    answers(host, model())
    session.say("hi")
    host.clock.advance()

    assert between == [("Hold", True)]
    assert heard(reader) == [("user", "hi"), "Hold", "fast", ("done", "answered")]
    assert session.messages() == [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "Holdfast"}]


def test_a_tool_is_run_and_the_model_asked_again(host, session, reader):
    answers(host, calling("remember", {"name": "tea", "text": "green"}), words("Noted", "."))
    session.say("remember tea: green")
    host.clock.advance()

    assert heard(reader)[1:] == [("tool", '{"tool":"remember","result":"noted"}'), "Noted", ".", ("done", "answered")]
    second = json.loads(host.outbound.requests[1].body)
    assert [message["role"] for message in second["messages"]] == ["user", "assistant", "tool"]
    assert json.loads(second["messages"][1]["tool_calls"][0]["function"]["arguments"])["text"] == "green"
    assert host.instance("Session", "ada").storage["note:tea"] == "green"


def test_who_comes_again_gets_what_it_missed_and_nothing_twice(host, session, reader):
    answers(host, words("one"), words("two"))
    session.say("first")
    host.clock.advance()
    last = reader.received[-1].id
    reader.close()
    session.say("second")
    host.clock.advance()
    again = host.events("Session", "ada", "/", headers={"Last-Event-ID": last})

    assert heard(again) == [("user", "second"), "two", ("done", "answered")]
    assert heard(host.events("Session", "ada", "/")) == [*heard(reader), *heard(again)]


def test_an_answer_that_breaks_off_begins_again_and_the_reader_is_told(host, session, reader):
    def broken():
        yield chunk(content="Ho")
        raise OutboundUnreachableError("the model died")

    answers(host, broken(), words("Hold", "fast"))
    session.say("hi")
    host.clock.advance(1)

    events = heard(reader)
    assert (events[1], events[2][0], events[3:]) == ("Ho", "again", ["Hold", "fast", ("done", "answered")])
    assert session.messages()[-1]["content"] == "Holdfast"


def test_a_crash_between_two_words_loses_no_conversation(host, session):
    answers(host, words("lost", "lost"), words("Hold", "fast"))
    session.say("hi")
    host.crash_after_commits(1)  # the first word's
    host.clock.advance(2)

    events = heard(host.events("Session", "ada", "/"))
    assert [events[0], events[1], events[2][0], *events[3:]] == [
        ("user", "hi"), "lost", "again", "Hold", "fast", ("done", "answered"),
    ]  # fmt: skip


def test_an_answer_can_be_stopped(host, session, reader):
    def endless():
        yield chunk(content="on")
        session.stop()
        while True:
            yield chunk(content="and on")

    answers(host, endless(), words("Yes"))
    session.say("go on")
    host.clock.advance()
    assert (heard(reader)[1:], session.answering()) == (["on", ("done", "stopped")], False)
    session.say("are you there?")
    host.clock.advance()

    assert heard(reader)[-2:] == ["Yes", ("done", "answered")]


@pytest.mark.parametrize("stubborn", [False, True])
def test_tools_are_offered_only_so_often(host, session, reader, stubborn):
    offered = []

    def model(request):
        asked = json.loads(request.body)
        offered.append("tools" in asked)
        return Response(calling("recall", {"name": "x"}) if stubborn or offered[-1] else words("Enough"), headers=SSE)

    host.outbound.answer(URL, model)
    session.say("loop")
    host.clock.advance()

    assert offered == [True] * 8 + [False]
    assert heard(reader)[-1] == ("done", "answered")
    assert session.messages()[-1] == {"role": "assistant", "content": "" if stubborn else "Enough"}


@pytest.mark.parametrize("arguments", ["{", "[]", "{}", json.dumps({"name": "n" * 500, "text": ""}), "[" * 100_000])
@pytest.mark.parametrize("name", ["remember", "recall", "rm"])
def test_whatever_a_model_says_of_a_tool_is_answered(host, session, reader, name, arguments):
    call = {"index": 0, "id": "call_1", "function": {"name": name, "arguments": arguments}}
    answers(host, iter([chunk(tool_calls=[call])]), words("Sorry"))
    session.say("break it")
    host.clock.advance()

    assert heard(reader)[-2:] == ["Sorry", ("done", "answered")]


def test_a_model_that_refuses_is_said_to_the_reader(host, session, reader):
    host.outbound.answer(URL, Response("no", 401))
    session.say("hi")
    host.clock.advance()

    assert heard(reader)[-1] == ("failed", "the model answered 401")
    assert session.answering() is False


@pytest.mark.parametrize("said", ["no JSON", "[]", '{"choices":[{}]}', '{"choices":[{"delta":{"tool_calls":[{}]}}]}'])
def test_an_answer_that_nobody_understands_is_said_to_the_reader(host, session, reader, said):
    answers(host, iter([f"data: {said}\n\n"]))
    session.say("hi")
    host.clock.advance()

    assert heard_names(reader)[-1] == "failed"
    assert (session.answering(), len(session.messages())) == (False, 1)


def test_a_conversation_that_is_too_long_is_said_to_the_reader(host, session, reader):
    session.say("x" * 300_000)

    assert heard(reader)[-1][0] == "failed"
    assert "too long" in heard(reader)[-1][1]
    assert session.answering() is False


def test_a_reader_gets_more_than_a_thousand_words_from_the_beginning(host, session):
    answers(host, words(*["on"] * 1_500))
    session.say("go on")
    host.clock.advance()

    assert heard(host.events("Session", "ada", "/")) == [("user", "go on"), *["on"] * 1_500, ("done", "answered")]


def test_one_answer_at_a_time(host, session):
    answers(host, words("one"))
    session.say("hi")
    with pytest.raises(ActorCallError, match="still answering"):
        session.say("hello?")
    with pytest.raises(ActorCallError, match="say something"):
        session.say(" ")


def test_a_page_talks_to_the_function(host):
    answers(host, words("Hello"))
    at = "http://agent.localhost/sessions/ada"
    assert "<title>Session</title>" in host.fetch("http://agent.localhost/").text()
    assert host.fetch(Request(f"{at}/say", "POST", body="hi")).status == 200
    busy = host.fetch(Request(f"{at}/say", "POST", body="hello?"))
    assert (busy.status, busy.text()) == (409, "the model is still answering: stop it first")
    reader = host.events(None, "", "/sessions/ada/events")
    host.clock.advance()

    assert heard(reader) == [("user", "hi"), "Hello", ("done", "answered")]
    assert host.fetch(Request(f"{at}/stop", "POST")).text() == '{"stopped":false}'
    assert host.fetch(at).status == 404
