"""TLS to PostgreSQL, and what a server says to a database that it can't use.

Usage: checks/cluster/refusals.py
A PostgreSQL with a certificate of its own authority: the right one is accepted by each `sslmode`, a wrong one refused
with a sentence. A wrong password, role, database and schema, and a database that is down, are each refused with what
to do. ABIDE names the binary to try.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading

from load import Load, Server, environment_of
from pair import NOBODY, Postgres, free_port

ABIDE = os.path.abspath(os.environ.get("ABIDE", "target/debug/abide"))


def openssl(work, *words):
    subprocess.run(["openssl", *words], cwd=work, check=True, capture_output=True)


def authority(work, name):
    subject = ["-subj", f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
    openssl(work, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", *subject)


def certificate(work, signer, name):
    openssl(work, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", f"/CN={name}")
    with open(os.path.join(work, "server.ext"), "w") as file:
        file.write(f"subjectAltName=DNS:{name}\n")
    openssl(work, "x509", "-req", "-in", "server.csr", "-CA", f"{signer}.pem", "-CAkey", f"{signer}.key", "-CAcreateserial", "-days", "2", "-extfile", "server.ext", "-out", "server.crt")
    os.chmod(os.path.join(work, "server.key"), 0o600)
    if os.getuid() == 0:
        os.chown(os.path.join(work, "server.key"), NOBODY, NOBODY)


def levels(postgres, expect, url, wrong):
    """Servers and commands at levels of stored forms that this version doesn't have."""

    def in_jobs(text):
        return postgres.sql(text, "jobs")

    level = int(in_jobs("SELECT level FROM abide.cluster"))
    serve = ("serve", "--listen", "127.0.0.1:0", "--node", "n7")
    in_jobs(f"UPDATE abide.cluster SET level = {level + 1}")
    expect(url, f"the node n7 can't start: the schema abide of jobs on localhost:{postgres.port} has forms of level {level + 1}", *serve)
    in_jobs(f"UPDATE abide.cluster SET level = {level - 1}")
    expect(url, "run `abide cluster upgrade`", *serve)
    # A node of the older version lives.
    in_jobs(f"INSERT INTO abide.node VALUES ('old', 1, 1, '', 1, {level - 1}, 0, '0.0')")
    is_over = threading.Event()

    def beat():
        while not is_over.wait(0.2):
            in_jobs("UPDATE abide.node SET beat = beat + 1 WHERE name = 'old'")

    older = threading.Thread(target=beat)
    older.start()
    expect(url, None, "cluster", "upgrade")
    is_over.set()
    older.join()
    if (now := int(in_jobs("SELECT level FROM abide.cluster"))) != level - 1:
        wrong.append(f"the level is {now} while an older node lives")
    expect(url, None, "cluster", "upgrade")
    if (now := int(in_jobs("SELECT level FROM abide.cluster"))) != level:
        wrong.append(f"the level is {now} after an upgrade")
    in_jobs("DELETE FROM abide.node WHERE name = 'old'")


def main():
    work = tempfile.mkdtemp(prefix="abide-tls-")
    os.chmod(work, 0o755)
    if os.getuid() == 0:
        os.chown(work, NOBODY, NOBODY)
    wrong = []
    settings = [f"ssl_cert_file = '{work}/server.crt'", f"ssl_key_file = '{work}/server.key'", "ssl = on", "password_encryption = 'scram-sha-256'"]
    postgres = Postgres(work, "one", free_port(), "\n".join(settings))

    def expect(url, said, *words, **more):
        """What the command says about that URL; `None` if it is to end well."""
        words = words or ("cluster", "status")
        run = subprocess.run([ABIDE, *words], env=environment_of(url, **more), capture_output=True, text=True, timeout=60)
        told = (run.stdout + run.stderr).strip()
        if (run.returncode == 0) != (said is None) or (said and said not in told) or "hush" in told:
            wrong.append(f"{url} {words}: ended with {run.returncode}, not with {said!r}: {told}")
        elif said:
            print(f"{' '.join(words)}: {told}")

    try:
        authority(work, "ours")
        authority(work, "theirs")
        certificate(work, "ours", "localhost")
        postgres.init()
        postgres.start()
        roles = [f"CREATE ROLE {role} LOGIN PASSWORD 'hush'" for role in ("ann", "bob")]
        for statement in (*roles, "CREATE DATABASE jobs", "GRANT CREATE ON DATABASE jobs TO ann"):
            postgres.sql(statement)
        with open(os.path.join(postgres.directory, "pg_hba.conf"), "w") as hba:
            hba.write("host all abide 127.0.0.1/32 trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n")
        postgres.sql("SELECT pg_reload_conf()")
        port = postgres.port

        def at(host="localhost", user="ann", password="hush", name="jobs", **parameters):
            query = "&".join(f"{key}={value}" for key, value in parameters.items())
            return f"postgres://{user}:{password}@{host}:{port}/{name}?{query}"

        ours, theirs = f"{work}/ours.pem", f"{work}/theirs.pem"
        expect(at(sslmode="verify-full", sslrootcert=ours), None, "cluster", "init")
        for mode in ("require", "verify-ca", "verify-full", "prefer"):
            expect(at(sslmode=mode, sslrootcert=ours), None)
            expect(at(sslmode=mode, sslrootcert=theirs), "sslrootcert")
        expect(at(sslrootcert=ours), None)
        expect(at(sslmode="require"), "name the authority's certificate with sslrootcert=FILE")
        expect(at(sslmode="require"), None, SSL_CERT_FILE=ours)
        expect(at(host="127.0.0.1", sslmode="verify-ca", sslrootcert=ours), None)
        for mode in ("require", "verify-full"):
            expect(at(host="127.0.0.1", sslmode=mode, sslrootcert=ours), "use the certificate's name in the URL, or sslmode=verify-ca")
        expect(at(sslmode="verify-ca"), "needs sslrootcert")
        expect(at(sslmode="verify-full", sslrootcert=work + "/none.pem"), "none.pem of sslrootcert can't be used")
        expect(at(sslmode="verify-full", sslrootcert=work + "/server.ext"), "it has no certificate")
        expect(at(sslmode="always"), "sslmode is one of")
        expect(at(sslmode="disable"), "let it in by pg_hba.conf")
        good = {"sslmode": "verify-full", "sslrootcert": ours}
        # A server over TLS, with what it acknowledges.
        server = Server(ABIDE, environment_of(at(**good)), work, "a")
        load = Load(server.address)
        load.wait_for(5)
        load.stop()
        server.kill()
        if postgres.sql("SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'ann' AND NOT ssl") != "0":
            wrong.append("a connection isn't encrypted")
        for words in (("cluster", "status"), ("serve", "--listen", "127.0.0.1:0")):
            expect(at(password="wrong", **good), "mend the password in the URL", *words)
            expect(at(name="none", **good), "create the database, or mend its name in the URL", *words)
            expect(at(**good), "has no cluster that the role may use; make one with `abide cluster init`", *words, ABIDE_SCHEMA="other")
        levels(postgres, expect, at(**good), wrong)
        # With SCRAM a role that isn't there is told no other than a wrong password.
        expect(at(user="carl", **good), "mend the password in the URL")
        expect(at(user="bob", **good), "let the role own the schema", "cluster", "init", ABIDE_SCHEMA="bobs")
        expect(at(user="bob", **good), "has no cluster that the role may use")
        postgres.kill()
        for words in (("cluster", "status"), ("serve", "--listen", "127.0.0.1:0"), ("cluster", "init")):
            expect(at(**good), "start it, or mend its address in the URL", *words)
        for line in wrong:
            print(f"WRONG: {line}")
        print(f"TLS and refusals: {len(wrong)} wrong")
        return bool(wrong)
    finally:
        postgres.kill()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
