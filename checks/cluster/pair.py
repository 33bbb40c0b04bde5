"""A primary and a standby of PostgreSQL, of which the primary can be killed and the standby promoted."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time

NOBODY = 65534
START_TRIES = 50
ANSWER_MAX = 60.0


def binaries():
    """The directory of PostgreSQL's programs."""
    for directory in (os.environ.get("PGBIN", ""), os.path.dirname(os.path.realpath(shutil.which("pg_ctl") or ""))):
        if os.path.exists(os.path.join(directory, "initdb")):
            return directory
    root = "/usr/lib/postgresql"
    versions = sorted(os.listdir(root), key=int) if os.path.isdir(root) else []
    if not versions:
        sys.exit("SKIPPED: no PostgreSQL on this machine; install Debian's postgresql")
    return os.path.join(root, versions[-1], "bin")


def free_port():
    """A port below those that the system gives to outgoing connections, so that a server finds it again."""
    for port in random.sample(range(20000, 32000), START_TRIES):
        with socket.socket() as tried:
            try:
                tried.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    sys.exit("no port is free")


class Postgres:
    """One server, in a directory and at a port of its own."""

    def __init__(self, work, name, port, settings=""):
        self.work, self.name, self.port, self.more = work, name, port, settings
        self.directory = os.path.join(work, name)
        self.process = None
        # PostgreSQL doesn't run as root.
        self.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}

    def run(self, program, *words):
        environment = {**os.environ, "HOME": self.work, "LC_ALL": "C"}
        words = [os.path.join(binaries(), program), *words]
        done = subprocess.run(words, env=environment, cwd=self.work, capture_output=True, text=True, **self.as_user)
        if done.returncode:
            sys.exit(f"{' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def init(self):
        self.run("initdb", "-D", self.directory, "-A", "trust", "-U", "abide", "--no-instructions")
        with open(os.path.join(self.directory, "postgresql.conf"), "a") as conf:
            conf.write("include_if_exists = 'pair.conf'\n")

    def copy(self, primary):
        """Becomes a standby of that one."""
        shutil.rmtree(self.directory, ignore_errors=True)
        self.run("pg_basebackup", "-D", self.directory, "-h", "127.0.0.1", "-p", str(primary.port), "-U", "abide", "-c", "fast", "-X", "stream")
        open(os.path.join(self.directory, "standby.signal"), "w").close()
        if self.as_user:
            os.chown(os.path.join(self.directory, "standby.signal"), NOBODY, NOBODY)
        for left in ("postmaster.pid", "postmaster.opts"):
            if os.path.exists(path := os.path.join(self.directory, left)):
                os.remove(path)
        self.start(primary=primary)

    def configure(self, synchronous="", primary=None):
        lines = [f"port = {self.port}", "listen_addresses = '127.0.0.1'", "unix_socket_directories = ''"]
        lines += [f"synchronous_standby_names = '{synchronous}'", "shared_buffers = '16MB'", "wal_keep_size = '256MB'"]
        lines += ["wal_retrieve_retry_interval = '100ms'", self.more]
        if primary:
            source = f"host=127.0.0.1 port={primary.port} user=abide application_name={self.name}"
            lines.append(f"primary_conninfo = '{source}'")
        with open(os.path.join(self.directory, "pair.conf"), "w") as conf:
            conf.write("\n".join(lines) + "\n")
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def start(self, synchronous="", primary=None):
        self.configure(synchronous, primary)
        words = [os.path.join(binaries(), "postgres"), "-D", self.directory]
        for _ in range(START_TRIES):
            with open(os.path.join(self.work, f"{self.name}.log"), "ab") as log:
                self.process = subprocess.Popen(words, stdout=log, stderr=log, env={**os.environ, "LC_ALL": "C"}, **self.as_user)
            deadline = time.monotonic() + ANSWER_MAX
            while self.process.poll() is None and time.monotonic() < deadline:
                if self.try_sql("SELECT 1") == "1":
                    return
                time.sleep(0.05)
            # Its port may be an outgoing connection's for a moment.
            time.sleep(0.2)
        with open(os.path.join(self.work, f"{self.name}.log")) as log:
            sys.exit(f"{self.name} doesn't start: {log.read()[-2000:]}")

    def try_sql(self, text, database="postgres"):
        """The answer without its frame; `None` if there is none."""
        words = [os.path.join(binaries(), "psql"), "-XAtq", "-h", "127.0.0.1", "-p", str(self.port), "-U", "abide", "-d", database]
        done = subprocess.run([*words, "-c", text], capture_output=True, text=True, timeout=ANSWER_MAX)
        return done.stdout.strip() if done.returncode == 0 else None

    def sql(self, text, database="postgres"):
        answer = self.try_sql(text, database)
        if answer is None:
            sys.exit(f"{self.name} refuses {text}")
        return answer

    def until(self, text, wanted):
        deadline = time.monotonic() + ANSWER_MAX
        while (answer := self.try_sql(text)) != wanted:
            if time.monotonic() > deadline:
                sys.exit(f"{self.name} answers {answer!r} to {text}, not {wanted!r}")
            time.sleep(0.05)

    def kill(self):
        """As a machine that loses its power: all processes at once."""
        if self.process is None:
            return
        pid = self.process.pid
        # A stopped postmaster starts nothing anew.
        os.kill(pid, signal.SIGSTOP)
        try:
            with open(f"/proc/{pid}/task/{pid}/children") as children:
                for child in children.read().split():
                    os.kill(int(child), signal.SIGKILL)
        except (OSError, ProcessLookupError):
            pass
        self.process.kill()
        self.process.wait()
        self.process = None
        # A lock file of a process that is gone may name another one's number.
        if os.path.exists(path := os.path.join(self.directory, "postmaster.pid")):
            os.remove(path)

    def receiver(self):
        """The process that receives what the primary has written."""
        return int(self.sql("SELECT pid FROM pg_stat_wal_receiver"))

    def promote(self):
        self.configure()
        self.run("pg_ctl", "promote", "-w", "-t", "60", "-D", self.directory)


class Pair:
    """Two servers, of which one is the primary. The URL names both."""

    def __init__(self, work, is_synchronous):
        self.is_synchronous = is_synchronous
        first = free_port()
        self.primary = Postgres(work, "one", first)
        self.primary.init()
        self.primary.start()
        self.standby = Postgres(work, "two", free_port())
        self.url = f"postgres://abide@127.0.0.1:{first},127.0.0.1:{self.standby.port}/postgres?target_session_attrs=read-write"
        self.join()

    def join(self):
        """Makes a standby of the present primary, and waits until it has all of it."""
        self.standby.copy(self.primary)
        if self.is_synchronous:
            self.primary.configure(synchronous=self.standby.name)
        wanted = "streaming sync" if self.is_synchronous else "streaming async"
        self.primary.until("SELECT state || ' ' || sync_state FROM pg_stat_replication", wanted)

    def fail(self):
        """Kills the primary and promotes the standby."""
        self.primary.kill()
        self.promote()

    def promote(self):
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def stop(self):
        for server in (self.primary, self.standby):
            server.kill()
