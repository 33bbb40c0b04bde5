"""Shared by the acceptance clients. Nothing here knows any server: it says what is to happen, receives webhooks, counts checks.

How a client says what is to happen to its job (env ABIDE_DOOR):
  inline  (default) a directive `abide:duration=1s,error=boom` inside a free text of the vendor's own request (prompt, title, url …)
  header  the same text in the request header `Abide-Simulate`, where the SDK lets a caller add one
  patch   PATCH {origin}/v1/simulator before the create (for every job; not for parallel runs)
"""
import json, os, queue, sys, threading, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# A script may have the name of the package it tries: packages first.
sys.path.append(sys.path.pop(0))

MODE = os.environ.get('ABIDE_DOOR', 'inline')

def base():
    if len(sys.argv) < 2: sys.exit(f'usage: {sys.argv[0]} BASE_URL   (what stands for the vendor\'s origin, no slash at the end)')
    return sys.argv[1].rstrip('/')

def directive(duration='1s', error=None):
    """Returns (text to put into a free text of the request, headers to add to it)."""
    text = f'abide:duration={duration}' + (f',error={error}' if error else '')
    if MODE == 'patch':
        parts = urllib.parse.urlsplit(base())
        body = json.dumps({'duration': {'fixed': duration}, 'outcome': {'error_chance': 1 if error else 0}}).encode()
        req = urllib.request.Request(f'{parts.scheme}://{parts.netloc}/v1/simulator', body, {'content-type': 'application/json'}, method='PATCH')
        urllib.request.urlopen(req).read()
        return '', {}
    if MODE == 'header': return '', {'Abide-Simulate': text}
    return text, {}

class Receiver:
    """A webhook receiver on loopback. `take(timeout)` gives (headers, whose names have no case, body) in order of arrival."""
    def __init__(self):
        self.inbox = queue.Queue(); inbox = self.inbox
        class H(BaseHTTPRequestHandler):
            def log_message(self, *a): pass
            def do_POST(self):
                body = self.rfile.read(int(self.headers.get('content-length') or 0))
                self.send_response(200); self.send_header('content-length', '0'); self.end_headers()
                inbox.put((self.headers, body))
            def do_OPTIONS(self): self.send_response(200); self.send_header('content-length', '0'); self.end_headers()
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), H); self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f'http://127.0.0.1:{self.server.server_port}/hook'
    def take(self, timeout=15): return self.inbox.get(timeout=timeout)

PASSED = 0
def check(name, ok, note=''):
    global PASSED
    print(f'{"ok  " if ok else "FAIL"} {name}{"  — " + str(note) if note != "" else ""}', flush=True)
    if not ok: os._exit(1)
    PASSED += 1

def done():
    print(f'{PASSED} passed, 0 failed', flush=True)
    os._exit(0)
