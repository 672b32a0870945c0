"""A model that only pretends: `python model.py PORT`. It streams words as real ones do, and calls tools.

remember NAME: TEXT     calls the tool `remember`
recall NAME             calls the tool `recall`
anything else           is said back, word by word
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PACE_S = 0.05  # between two words


def answer_to(asked):
    """What it says to these messages: the deltas of its answer."""
    last = asked["messages"][-1]
    words, call = last["content"].split(), None
    if last["role"] == "tool":
        words = ["The", "tool", "says:", *words]
    elif words[0] in ("remember", "recall") and asked.get("tools"):
        name, _, text = " ".join(words[1:]).partition(": ")
        call = (words[0], {"name": name, "text": text} if text else {"name": name})
    else:
        words = ["You", "said:", *words]
    if call is None:
        yield from ({"content": f"{' ' if number else ''}{word}"} for number, word in enumerate(words))
        return
    arguments = json.dumps(call[1])
    yield {
        "tool_calls": [
            {"index": 0, "id": f"call_{len(asked['messages'])}", "function": {"name": call[0], "arguments": ""}}
        ]
    }
    for at in range(0, len(arguments), 8):  # real models send these in pieces too
        yield {"tool_calls": [{"index": 0, "function": {"arguments": arguments[at : at + 8]}}]}


class Model(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        print(f"asked with {len(asked['messages'])} messages", flush=True)
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for delta in answer_to(asked):
            self.send(json.dumps({"choices": [{"index": 0, "delta": delta}]}))
            time.sleep(PACE_S)
        self.send("[DONE]")
        self.wfile.write(b"0\r\n\r\n")

    def send(self, data):
        event = f"data: {data}\n\n".encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
        self.wfile.flush()

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Model).serve_forever()
