"""A server in a child process, on a port of its own and with its jobs in memory, for checks that measure it."""

import http.client
import json
import os
import re
import socket
import subprocess
import threading


class Server:
    def __init__(self, *flags, limit=None):
        """Starts the program that `ABIDE` names with these flags, after `limit` was called in its process."""
        command = [os.environ["ABIDE"], "serve", "--listen", "127.0.0.1:0", "--ephemeral", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        for line in self.process.stderr:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", line)
            if found:
                self.port = int(found[1])
                break
        else:
            raise SystemExit("the server didn't start")
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def connect(self, address="127.0.0.1", buffer=None):
        """A connection from that address, which takes no more than `buffer` bytes ahead."""
        connection = socket.socket()
        if buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        connection.bind((address, 0))
        connection.settimeout(60)
        connection.connect(("127.0.0.1", self.port))
        return connection

    def ask(self, method, path, body=None, headers=(), address="127.0.0.1"):
        """Asks on a connection of its own: the status, and the answer, read if it is JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(address, 0))
        body = None if body is None else json.dumps(body)
        connection.request(method, path, body, {"Content-Type": "application/json", **dict(headers)})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text.startswith(b"{") else text.decode()

    def metric(self, name):
        return float(re.search(rf"^{name} (\S+)", self.ask("GET", "/metrics", address="127.0.0.3")[1], re.M)[1])

    def stop(self):
        self.process.kill()
        self.process.wait()
