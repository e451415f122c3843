#!/usr/bin/env python3
"""A fleet: three servers behind HAProxy, as packaging/haproxy.cfg sets it up, with their ledger in PostgreSQL. One job lives
through a server that is killed, one that reads its files again, a database that is stopped for a moment, and a restart of all
servers one after the other.

usage: fleet.py FUSION SOURCE [QUERIES PUBLIC SHARD]     so many queries and public samples, so many samples a shard at most;
                                                         3256 104 16: a job of 16,384 samples

Ends with 77, a skip, where HAProxy or PostgreSQL is not installed."""
import atexit
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from service_scene import FUSION, SOURCE, Server, as_client, make_authority, make_certificate, make_data, query, run, wait_for

sys.path.insert(0, str(SOURCE / "tests/service"))
from postgres_server import Postgres, skip_without  # noqa: E402

QUERIES, PUBLIC, SHARD = (int(a) for a in sys.argv[3:6]) if len(sys.argv) > 3 else (60, 100, 1)
REPLICAS = 3
# Each booking of a shard waits for this, one after the other: the job lasts as long on any machine.
SECONDS_A_BOOKING = 0.03


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Fleet:
    def __init__(self, database):
        self.database = database
        ports = free_ports(2 * REPLICAS + 1)
        self.ports, self.admins, self.port = ports[:REPLICAS], ports[REPLICAS:-1], ports[-1]
        self.logs = []
        self.servers = [self.start(i) for i in range(REPLICAS)]
        self.proxy = self.start_proxy()

    def start(self, i):
        name = f"-{i}-{len(self.logs)}"
        self.logs.append(Path(f"log{name}"))
        return Server("--listen", f"127.0.0.1:{self.ports[i]}", "--admin", f"127.0.0.1:{self.admins[i]}", "--proxy-protocol",
                      "127.0.0.0/8", "--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "ca.pem", "--clients",
                      "clients.json", "--ledger", self.database.url, "--log-format", "json", name=name, grace="1")

    def start_proxy(self):
        """Of the example, nothing is changed but what it says to change."""
        lines = []
        for line in (SOURCE / "packaging/haproxy.cfg").read_text().splitlines():
            words = line.split()
            if words[:1] == ["bind"]:
                line = f"    bind 127.0.0.1:{self.port}"
            if words[:1] == ["server"]:
                i = int(words[1].removeprefix("fusion")) - 1
                line = f"    server {words[1]} 127.0.0.1:{self.ports[i]} port {self.admins[i]}"
            lines.append(line)
        Path("haproxy.cfg").write_text("\n".join(lines) + "\n")
        run("haproxy", "-c", "-f", "haproxy.cfg")
        log = open("log-proxy", "w")
        process = subprocess.Popen(["haproxy", "-db", "-f", "haproxy.cfg"], stdout=log, stderr=log)
        log.close()
        atexit.register(process.kill)
        wait_for(lambda: process.poll() is not None or can_connect(self.port))
        assert process.poll() is None, Path("log-proxy").read_text()
        return process

    def kill(self, i):
        self.servers[i].process.kill()
        self.servers[i].process.wait()
        self.servers[i] = None

    def restart(self, i):
        """As a unit's restart does; the next one waits until clients are let in again."""
        if self.servers[i]:
            self.servers[i].stop()
        self.servers[i] = self.start(i)
        time.sleep(1.5)  # the proxy's next look at it

    def stop(self):
        self.proxy.terminate()
        self.proxy.wait()
        for server in self.servers:
            server.stop()


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def numbers(file):
    with open(file, newline="") as f:
        return [row for row in csv.reader(f)][1:]


class Job:
    def __init__(self, port, client):
        self.done = None
        arguments = ["query", f"localhost:{port}", *as_client(client), "--input", "many.csv", "--public", "pub.csv", "--labels",
                     "lab.csv", "--raw", "-o", "answers.csv", "--report", "report.json", "--workers", str(REPLICAS),
                     "--min-public", str(PUBLIC), "--shard-samples", str(SHARD), "--tries", "8", "--quiet"]
        self.process = subprocess.Popen([FUSION, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.thread = threading.Thread(target=self.collect)
        self.thread.start()

    def collect(self):
        self.output = self.process.communicate()[0]
        self.done = self.process.returncode

    def check_running(self, what):
        assert self.done is None, f"the job ended before {what}: exit {self.done}\n{self.output}"

    def join(self):
        self.thread.join()
        assert self.done == 0, f"exit {self.done}: {self.output}"


def disturb(fleet, job, database):
    """Each while the job runs."""
    wait_for(lambda: int(database.ask("SELECT COUNT(*) FROM holds")) == REPLICAS)
    wait_for(lambda: int(database.ask("SELECT SUM(ran) FROM holds")) >= 5 * SHARD)
    job.check_running("a server was killed")
    fleet.kill(0)
    fleet.servers[1].process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(e["event"] == "reloaded" and e["status"] == "ok" for e in fleet.servers[1].events()))
    job.check_running("the database was stopped")
    database.stop()
    time.sleep(1)
    database.start()
    for i in range(REPLICAS):
        job.check_running(f"server {i} was started again")
        fleet.restart(i)


def run_job_through(fleet, database):
    began = time.monotonic()
    job = Job(fleet.port, "hospital-a")
    disturb(fleet, job, database)
    job.join()
    seconds = time.monotonic() - began
    run(FUSION, "run", "tumour.fsn", "--input", "many.csv", "-o", "clear.csv")
    assert numbers("answers.csv") == numbers("clear.csv"), "the answers are not those of fusion run"
    assert job.output.startswith("verdict    accept"), job.output
    ran = int(database.ask("SELECT SUM(samples) FROM days"))
    wait_for(lambda: int(database.ask("SELECT COUNT(*) FROM holds")) <= 1)  # the killed server's
    database.ask("UPDATE holds SET until = 1")  # two minutes later; the next job closes what nobody holds
    query(fleet.port, *as_client("hospital-b"))
    wait_for(lambda: int(database.ask("SELECT COUNT(*) FROM open_jobs")) == 0)
    rows = [r.split("|") for r in database.ask("SELECT client, outcome, declared, samples FROM jobs ORDER BY seq").splitlines()]
    own = [r for r in rows if r[0] == "hospital-a"]
    assert len(own) == 1 and own[0][1] == "done", "\n".join([str(rows)] + [log.read_text() for log in fleet.logs])
    declared, samples = int(own[0][2]), int(own[0][3])
    # At each of four stops a worker's running shard may run again, or go uncounted.
    slack = 8 * REPLICAS * SHARD
    assert declared - slack <= samples <= ran <= declared + slack, (declared, samples, ran)
    assert "2 rows" in run(FUSION, "ledger", "verify", database.url).stdout
    return declared, ran, seconds


def refuse_without_a_database(fleet, database):
    """As a busy server, at once and clearly; the same command does when it is back."""
    database.stop()
    no = query(fleet.port, *as_client("hospital-b"), code=9).stderr
    assert "the server's ledger cannot be reached; try again later" in no, no
    database.start()
    query(fleet.port, *as_client("hospital-b"))


def check_addresses(fleet):
    """Servers see the clients' addresses, not the balancer's port; its looks at them are no lines."""
    for log in fleet.logs:
        for e in map(json.loads, log.read_text().splitlines()):
            assert e["event"] != "refused" or e["status"] == "busy", e
            if e["event"] == "job_begun":
                assert e["address"].startswith("127.0.0.1:"), e


def main():
    if not shutil.which("haproxy"):
        print("skipped: HAProxy is not installed (Debian package haproxy)")
        sys.exit(77)
    skip_without()
    with tempfile.TemporaryDirectory() as folder, Postgres() as database:
        os.chdir(folder)
        make_data()
        rows = Path("pub.csv").read_text().splitlines()
        Path("many.csv").write_text("\n".join(rows[i % len(rows)] for i in range(QUERIES)) + "\n")
        make_authority("ca")
        make_certificate("ca", "server", "serverAuth", "server")
        for name in ("hospital-a", "hospital-b"):
            make_certificate("ca", name, "clientAuth", name)
        plan = run(FUSION, "plan", "--queries", QUERIES, "--min-public", PUBLIC, "--json").stdout
        samples = json.loads(plan)["samples"]
        # Less than two claims of the job: were it counted at each server, the second would be refused.
        Path("clients.json").write_text('{"hospital-a": {"samples_day": %d}, "*": {}}' % (samples * 3 // 2))
        fleet = Fleet(database)
        database.ask("CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(%s); RETURN NEW; END';"
                     "CREATE TRIGGER wait BEFORE UPDATE ON days FOR EACH ROW EXECUTE FUNCTION wait()" % SECONDS_A_BOOKING)
        declared, ran, seconds = run_job_through(fleet, database)
        refuse_without_a_database(fleet, database)
        check_addresses(fleet)
        fleet.stop()
        print(f"a job of {declared} samples over {REPLICAS} servers: {seconds:.1f} s, {ran - declared} samples ran twice, one row")
        os.chdir("/")


main()
