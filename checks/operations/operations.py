"""Runs nginx, Caddy and Prometheus on the files in packaging/ in front of a server.

usage: operations.py DIRECTORY URL SECRET
"""

import http.server
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import yaml

work, base, secret = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
backend = urllib.parse.urlsplit(base).netloc
NAME = "jobs.example.com"
PATIENCE = 60
# What a held request is held for at most, with the share that is added by chance.
HOLD, HOLD_MAX = 50, 54
running = []


def until(what, is_true):
    end = time.monotonic() + PATIENCE
    while not (found := is_true()):
        if time.monotonic() > end:
            sys.exit(f"waited in vain: {what}")
        time.sleep(0.05)
    return found


def a_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(name, command, answers):
    """Starts a program on a port that was free; once more on another where it was taken meanwhile. `answers` says whether it is up."""
    for _ in range(5):
        port = a_port()
        log = open(work / f"{name}.log", "w")
        process = subprocess.Popen(command(port), stdout=log, stderr=subprocess.STDOUT, env={"HOME": str(work), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
        end = time.monotonic() + PATIENCE
        while process.poll() is None and time.monotonic() < end:
            if answers(port):
                running.append(process)
                return port
            time.sleep(0.1)
        process.kill()
        process.wait()
    sys.exit(f"{name} didn't start:\n{(work / f'{name}.log').read_text()}")


class Proxied(urllib.request.HTTPSHandler):
    """Requests to the name go to a port of this machine, whatever certificate is there."""

    def __init__(self, port):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(context=context)
        self.port = port

    def https_open(self, request):
        import http.client

        port = self.port

        class Connection(http.client.HTTPSConnection):
            def connect(self):
                sock = socket.create_connection(("127.0.0.1", port), self.timeout)
                self.sock = self._context.wrap_socket(sock, server_hostname=NAME)

        return self.do_open(Connection, request, context=self._context)


class Client:
    def __init__(self, port, prefix=""):
        self.at = f"https://{NAME}{prefix}"
        self.opener = urllib.request.build_opener(Proxied(port))

    def open(self, method, path, body=None, timeout=PATIENCE + HOLD):
        headers = {"authorization": f"Bearer {secret}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        return self.opener.open(urllib.request.Request(self.at + path, data, headers, method=method), timeout=timeout)

    def call(self, method, path, body=None):
        with self.open(method, path, body) as answer:
            text = answer.read()
            return answer, json.loads(text) if text else None

    def is_up(self):
        try:
            self.opener.open(f"{self.at}/healthz", timeout=5)
            return True
        except OSError:
            return False


class Receiver(http.server.BaseHTTPRequestHandler):
    seen = []

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        Receiver.seen.append((body["type"], body["data"]["id"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
threading.Thread(target=receiver.serve_forever, daemon=True).start()


def new_job(client, duration, **more):
    return client.call("POST", "/v1/jobs", {"simulate": {"duration": duration, "outcome": {"error_chance": 0}}, **more})


def full_hold(name, client, failures):
    """The longest hold that the server grants outlasts no time-out of the proxy's."""
    _, job = new_job(client, "1h")
    began = time.monotonic()
    try:
        answer, job = client.call("GET", f"/v1/jobs/{job['id']}?wait=600")
        took = time.monotonic() - began
        if answer.status != 200 or job["done"] or not HOLD - 1 < took < HOLD_MAX + PATIENCE:
            failures.append(f"{name}: a full hold was answered {answer.status} after {took:.1f} s")
    except OSError as error:
        failures.append(f"{name}: a full hold ended after {time.monotonic() - began:.1f} s: {error}")


def pass_through(name, client, prefix=""):
    """A create with the outer address, a hold that ends with its job, a stream that comes at once, a webhook, the reference."""
    answer, job = new_job(client, "1s")
    for header in ("Location", "Operation-Location"):
        assert answer.headers[header].startswith(f"{prefix}/v1/") or answer.headers[header].startswith(f"https://{NAME}{prefix}/v1/"), (header, answer.headers[header])
    _, job = client.call("GET", f"/v1/jobs/{job['id']}?wait=30")
    assert job["outcome"] == "completed", job

    _, job = new_job(client, "1h")
    with client.open("GET", f"/v1/jobs/{job['id']}/events") as stream:
        first = stream.readline()
        assert first, "nothing came of the stream while the job went on"
        client.call("POST", f"/v1/jobs/{job['id']}/cancel")
        rest = stream.read().decode()
        assert "event: job.canceled" in rest, rest

    _, endpoint = client.call("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{receiver.server_port}/"})
    _, job = new_job(client, "100ms")
    until(f"{name}: the webhook comes", lambda: ("job.completed", job["id"]) in Receiver.seen)
    client.call("DELETE", f"/v1/webhooks/{endpoint['id']}")
    with client.open("GET", "/docs/") as page:
        assert page.status == 200


def nginx(prefix):
    site = pathlib.Path("packaging/proxy/nginx.conf").read_text()
    if prefix:
        # As its second line says.
        site = site.replace("location / {", f"location {prefix}/ {{\n        proxy_set_header X-Forwarded-Prefix {prefix};")
        site = site.replace("proxy_pass http://abide;", "proxy_pass http://abide/;")
    site = site.replace("127.0.0.1:8080", backend).replace("/etc/ssl/jobs.example.com", str(work / "site"))
    here = work / f"nginx{prefix.replace('/', '-')}"
    here.mkdir()

    def command(port):
        paths = "".join(f"{kind}_temp_path {here}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (here / "nginx.conf").write_text(
            f"daemon off; pid {here}/pid; error_log stderr warn; events {{}}\nhttp {{ access_log off; {paths}\n"
            + site.replace("listen 443", f"listen 127.0.0.1:{port}") + "}\n"
        )
        subprocess.run(["nginx", "-t", "-q", "-c", here / "nginx.conf"], check=True)
        return ["nginx", "-c", here / "nginx.conf"]

    return start(here.name, command, lambda port: Client(port, prefix).is_up())


def caddy():
    site = pathlib.Path("packaging/proxy/Caddyfile").read_text().replace("127.0.0.1:8080", backend)

    def command(port):
        # Certificates of its own, as no authority can reach it here.
        text = f"{{\n\tadmin off\n\tlocal_certs\n\tskip_install_trust\n\tauto_https disable_redirects\n\thttps_port {port}\n}}\n{site}"
        (work / "Caddyfile").write_text(text)
        subprocess.run(["caddy", "validate", "--adapter", "caddyfile", "--config", work / "Caddyfile"], check=True, capture_output=True)
        return ["caddy", "run", "--adapter", "caddyfile", "--config", work / "Caddyfile"]

    return start("caddy", command, lambda port: Client(port).is_up())


def prometheus(client):
    here = work / "prometheus"
    shutil.copytree("packaging/prometheus", here)
    shutil.copy("checks/operations/rules.test.yml", here)
    subprocess.run(["promtool", "test", "rules", "rules.test.yml"], cwd=here, check=True, stdout=subprocess.DEVNULL)
    (work / "scrape-key").write_text(secret)
    config = (here / "prometheus.yml").read_text()
    config = config.replace("/run/secrets", str(work)).replace("abide:8080", backend).replace("15s", "1s")
    (here / "prometheus.yml").write_text(config)
    subprocess.run(["promtool", "check", "config", here / "prometheus.yml"], check=True, stdout=subprocess.DEVNULL)

    def get(port, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return json.load(answer)

    def is_up(port):
        try:
            return get(port, "/api/v1/status/buildinfo")["status"] == "success"
        except OSError:
            return False

    port = start(
        "prometheus-server",
        lambda port: ["prometheus", f"--config.file={here}/prometheus.yml", f"--storage.tsdb.path={here}/data", f"--web.listen-address=127.0.0.1:{port}"],
        is_up,
    )

    def ask(query):
        return get(port, "/api/v1/query?" + urllib.parse.urlencode({"query": query}))["data"]["result"]

    until("Prometheus has scraped the server", lambda: ask('up{job="abide"} == 1'))
    rules = yaml.safe_load(pathlib.Path("packaging/prometheus/abide.rules.yml").read_text())
    alerts = [rule["expr"] for group in rules["groups"] for rule in group["rules"]]
    board = json.loads(pathlib.Path("packaging/grafana/abide.json").read_text())
    drawn = [target["expr"].replace("$instance", ".*") for panel in board["panels"] for target in panel["targets"]]
    drawn += [re.sub(r"label_values\((\w+), \w+\)", r"\1", one["query"]) for one in board["templating"]["list"] if one["type"] == "query"]
    # Jobs end, are waited for and told of, until every drawing has a line.
    client.call("POST", "/v1/webhooks", {"url": f"http://127.0.0.1:{receiver.server_port}/"})

    def is_drawn(query):
        _, job = new_job(client, "100ms")
        client.call("GET", f"/v1/jobs/{job['id']}?wait=5")
        return any(one["value"][1] != "NaN" for one in ask(query))

    for query in drawn:
        until(f"a line for {query}", lambda: is_drawn(query))
    for query in alerts:
        names = set(re.findall(r"\babide_\w+", query))
        for name in names:
            assert ask(name), f"the server has no metric {name}, of which an alert speaks"
        ask(query)
    with client.open("GET", "/metrics") as answer:
        subprocess.run(["promtool", "check", "metrics"], input=answer.read(), check=True)
    states = {rule["name"]: rule["health"] for group in get(port, "/api/v1/rules")["data"]["groups"] for rule in group["rules"]}
    assert len(states) == len(alerts) and set(states.values()) <= {"ok", "unknown"}, states
    print(f"  {len(alerts)} alerts fire when they should; {len(drawn)} queries draw a line")


try:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={NAME}",
         "-keyout", work / "site.key", "-out", work / "site.pem"],
        check=True, capture_output=True,
    )
    failures, holds = [], []
    proxies = {
        "packaging/proxy/nginx.conf": (nginx(""), ""),
        "packaging/proxy/nginx.conf below /abide": (nginx("/abide"), "/abide"),
        "packaging/proxy/Caddyfile": (caddy(), ""),
    }
    for name, (port, prefix) in proxies.items():
        holds.append(threading.Thread(target=full_hold, args=(name, Client(port, prefix), failures)))
        holds[-1].start()
        pass_through(name, Client(port, prefix), prefix)
        print(f"{name}\n  a create, a hold, a stream, a webhook and the reference went through")
    print("packaging/prometheus, packaging/grafana")
    prometheus(Client(proxies["packaging/proxy/Caddyfile"][0]))
    for hold in holds:
        hold.join()
    if failures:
        sys.exit("\n".join(failures))
    print(f"a hold of {HOLD} s went through each proxy")
finally:
    for process in running:
        process.terminate()
    for process in running:
        process.wait()
