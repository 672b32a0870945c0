"""A subscriber: `python receiver.py PORT SECRET`. It checks signatures and counts each event once.

/hooks takes everything, /flaky says 503 the first time, /gone says 410.
"""

import hashlib
import hmac
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SECRET = sys.argv[2].encode()
heard = set()
refused = set()


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, text = self.judge(body)
        print(f"{status} {text}\n", end="", flush=True)  # in one piece: two may come at once
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def judge(self, body):
        expected = f"sha256={hmac.new(SECRET, body, hashlib.sha256).hexdigest()}"
        if not hmac.compare_digest(expected, self.headers.get("X-Signature", "")):
            return 401, "a wrong signature"
        event = json.loads(body)
        label = f"{event['id']} {event['event']}"
        if self.path == "/gone":
            return 410, f"{label}: nobody is here any more"
        if self.path == "/flaky" and event["id"] not in refused:
            refused.add(event["id"])
            return 503, f"{label}: not now"
        again = "again" if event["id"] in heard else "new"
        heard.add(event["id"])
        return 200, f"{label}: {again}"

    def log_message(self, *args):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
