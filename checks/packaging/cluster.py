"""Runs the cluster's files in packaging/ without containers: each command line as it is written, on a PostgreSQL of its own.

Usage: checks/packaging/cluster.py
packaging/cluster.yml with nginx in front, and packaging/kubernetes.yaml. Addresses, ports and paths of containers become
those of this machine. Jobs are created and waited for while the leader is killed; every one must complete.
ABIDE names the binary to try.
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "cluster"))
from pair import NOBODY, Postgres, free_port

ABIDE = os.path.abspath(os.environ.get("ABIDE", "target/debug/abide"))
PACKAGING = os.path.join(os.path.dirname(__file__), "..", "..", "packaging")
PATIENCE = 60.0
JOBS, WAITERS = 24, 3


class Container:
    """What a file says of a container: its words and its variables."""

    def __init__(self, name, words, variables):
        self.name, self.words, self.variables = name, words, variables
        self.process, self.url = None, None


def of_compose():
    services = yaml.safe_load(open(os.path.join(PACKAGING, "cluster.yml")))["services"]
    ours = {name: Container(name, it["command"], it["environment"]) for name, it in services.items() if "build" in it}
    return ours.pop("init"), list(ours.values())


def of_kubernetes():
    documents = yaml.safe_load_all(open(os.path.join(PACKAGING, "kubernetes.yaml")))
    spec = next(it for it in documents if it["kind"] == "StatefulSet")["spec"]
    pod = spec["template"]["spec"]

    def container(it, name):
        variables = {one["name"]: one.get("value", "") for one in it["env"]}
        words = [word.replace("$(POD_NAME)", name) for word in it["args"]]
        return Container(name, words, variables)

    names = [f"abide-{number}" for number in range(spec["replicas"])]
    return container(pod["initContainers"][0], "init"), [container(pod["containers"][0], name) for name in names]


class Cluster:
    def __init__(self, work, database, init, nodes, schema):
        self.work, self.database, self.schema, self.nodes = work, database, schema, nodes
        self.run(init).wait()
        if init.process.returncode:
            sys.exit(f"{init.words}: {open(self.log(init)).read()}")
        for node in nodes:
            self.start(node)

    def log(self, container):
        return os.path.join(self.work, f"{self.schema}-{container.name}.log")

    def run(self, container):
        """Starts it with this machine's addresses and paths in place of a container's."""
        here = lambda text: re.sub(r"(/run)?/secrets/", self.work + "/", re.sub(r"(0\.0\.0\.0|[\w.-]+):808[01]", "127.0.0.1:0", text))
        words = [here(word) for word in container.words if not word.startswith("--cluster-advertise")]
        variables = {name: here(value) for name, value in container.variables.items()}
        variables |= {"ABIDE_DATABASE": self.database, "ABIDE_SCHEMA": self.schema, "PATH": os.environ["PATH"]}
        with open(self.log(container), "w") as log:
            container.process = subprocess.Popen([ABIDE, *words], env=variables, stdout=log, stderr=log)
        return container.process

    def start(self, node):
        self.run(node)
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://127\.0\.0\.1:\d+", open(self.log(node)).read())):
            if node.process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{node.name} doesn't start: {open(self.log(node)).read()}")
            time.sleep(0.05)
        node.url = found.group()

    def abide(self, *words, server=None):
        variables = {**os.environ, "ABIDE_DATABASE": self.database, "ABIDE_SCHEMA": self.schema, "ABIDE_API_KEY": self.key()}
        variables["ABIDE_SERVER"] = server or ",".join(node.url for node in self.nodes)
        return subprocess.run([ABIDE, *words], env=variables, capture_output=True, text=True, timeout=PATIENCE)

    def key(self):
        return open(os.path.join(self.work, "keys")).read().strip().split(":", 2)[2]

    def leader(self):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            status = json.loads(self.abide("cluster", "status", "--json").stdout)
            found = [node for node in self.nodes if node.name == status["leader"]["node"]]
            if found and found[0].process.poll() is None:
                return found[0]
            time.sleep(0.1)
        sys.exit("no node leads")

    def exercise(self, server=None):
        """Creates and waits on all nodes while the leader is killed and started again."""
        wrong, done = [], []

        def work(number):
            for job in range(JOBS // WAITERS):
                words = ["create", "--duration", "300ms", "--error-chance", "0", "--idempotency-key", f"{self.schema}-{server}-{number}-{job}"]
                run = self.abide(*words, "--wait", "--json", server=server)
                if run.returncode or '"completed"' not in run.stdout:
                    wrong.append(f"abide create: {run.returncode} {run.stdout}{run.stderr}")
                done.append(job)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(WAITERS)]
        for thread in threads:
            thread.start()
        while len(done) < JOBS // 3:
            time.sleep(0.05)
        leader = self.leader()
        leader.process.kill()
        leader.process.wait()
        self.start(leader)
        for thread in threads:
            thread.join()
        print(f"{self.schema}{' through nginx' if server else ''}: {len(done)} jobs while {leader.name} was killed, {len(wrong)} wrong")
        for line in wrong:
            print(f"WRONG: {line}")
        return wrong

    def stop(self):
        for node in self.nodes:
            node.process.kill()
            node.process.wait()


def nginx(work, nodes):
    """nginx with packaging/proxy/cluster.conf; its address and process."""
    site = open(os.path.join(PACKAGING, "proxy", "cluster.conf")).read()
    port = free_port()
    site = site.replace("listen 80;", f"listen 127.0.0.1:{port};")
    for node in nodes:
        site, count = re.subn(rf"server {node.name}:8080", f"server {node.url.removeprefix('http://')}", site)
        if count != 1:
            sys.exit(f"packaging/proxy/cluster.conf doesn't name {node.name}")
    paths = "".join(f"{kind}_temp_path {work}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    conf = os.path.join(work, "nginx.conf")
    with open(conf, "w") as file:
        file.write(f"daemon off; pid {work}/nginx.pid; error_log {work}/nginx.log; events {{}} http {{ access_log off; {paths} {site} }}")
    process = subprocess.Popen(["nginx", "-c", conf], stderr=subprocess.DEVNULL)
    time.sleep(1)
    return f"http://127.0.0.1:{port}", process


def main():
    work = tempfile.mkdtemp(prefix="abide-packaging-")
    os.chmod(work, 0o755)
    if os.getuid() == 0:
        os.chown(work, NOBODY, NOBODY)
    postgres, clusters, proxy, wrong = Postgres(work, "one", free_port()), [], None, []
    try:
        with open(os.path.join(work, "keys"), "w") as file:
            file.write(f"ops:admin:{secrets.token_hex(20)}\n")
        with open(os.path.join(work, "seal-key"), "w") as file:
            file.write(f"{secrets.token_hex(32)}\n")
        postgres.init()
        postgres.start()
        database = f"postgres://abide@127.0.0.1:{postgres.port}/postgres"
        clusters.append(Cluster(work, database, *of_compose(), "compose"))
        wrong += clusters[0].exercise()
        address, proxy = nginx(work, clusters[0].nodes)
        # A proxy knows one place of a node; the one that was killed has another now, as if it was still away.
        wrong += clusters[0].exercise(server=address)
        clusters[0].stop()
        clusters.append(Cluster(work, database, *of_kubernetes(), "kubernetes"))
        wrong += clusters[1].exercise()
        return bool(wrong)
    finally:
        for cluster in clusters:
            cluster.stop()
        if proxy:
            proxy.terminate()
            proxy.wait()
        postgres.kill()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
