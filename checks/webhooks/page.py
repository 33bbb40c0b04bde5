"""Attacks the receiver that docs/webhooks.md shows for Python, as it stands there.

usage: page.py ABIDE SECRET
"""

import http.server
import pathlib
import re
import subprocess
import sys
import threading

abide, secret = sys.argv[1:]
BODY_MAX = 1 << 20
page = pathlib.Path("docs/webhooks.md").read_text()
seen, lock = set(), threading.Lock()


def seen_before(id):
    with lock:
        known = id in seen
        seen.add(id)
        return known


shown = {"SECRET": secret, "seen_before": seen_before, "put_into_your_queue": lambda event: None}
exec(re.search(r"```python\n(.*?)```", page, re.DOTALL)[1], shown)


class Receiver(http.server.BaseHTTPRequestHandler):
    timeout = 5

    def do_POST(self):
        length = int(self.headers.get("content-length", -1))
        if length < 0:
            self.send_response(411)
        elif length > BODY_MAX:
            self.send_response(413)
        else:
            self.send_response(shown["hook"](self.headers, self.rfile.read(length)))
        self.end_headers()

    def log_message(self, *_):
        pass


with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as receiver:
    threading.Thread(target=receiver.serve_forever, daemon=True).start()
    attack = [abide, "attack", f"http://127.0.0.1:{receiver.server_port}/", "--secret", secret, "--patience", "1s"]
    ended = subprocess.run(attack, timeout=120, check=False, capture_output=True, text=True)
    receiver.shutdown()
if ended.returncode:
    sys.exit(f"the receiver of the page doesn't withstand the attack:\n{ended.stdout}{ended.stderr}")
print("the receiver that the page shows withstands the attack")
