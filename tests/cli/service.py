#!/usr/bin/env python3
"""The service as operations run it: the command with TLS, named clients, ledger, admin address, JSON log, reload, a
closed log, systemd's ready message and a passed socket. usage: service.py FUSION SOURCE"""
import itertools
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

FUSION, SOURCE = os.path.abspath(sys.argv[1]), Path(sys.argv[2])
PATIENCE = 60


def run(*args, code=0, **more):
    done = subprocess.run([str(a) for a in args], capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == code, f"{args}: exit {done.returncode}, not {code}: {done.stdout}{done.stderr}"
    return done


def make_data():
    rows = [",".join(f"{((i * k * 7 + k * 3) % 211 - 105) / 105:.4f}" for k in range(1, 6)) for i in range(200)]
    Path("pub.csv").write_text("\n".join(rows) + "\n")
    Path("q.csv").write_text("\n".join(rows[:4]) + "\n")
    run(FUSION, "compile", SOURCE / "tests/model/data/gemm.onnx", "--calibrate", "pub.csv", "--bits", "8,8", "--samples",
        "0", "-o", "tumour.fsn")
    run(FUSION, "run", "tumour.fsn", "--input", "pub.csv", "-o", "all.csv")
    labels = [line.split(",")[1] for line in Path("all.csv").read_text().splitlines()[1:]]
    Path("lab.csv").write_text("\n".join(labels) + "\n")


def make_authority(name):
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
        f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")


def make_certificate(authority, name, usage, file):
    Path("ext").write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage={usage}\n")
    run("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
        "-keyout", f"{file}.key", "-out", "request")
    run("openssl", "x509", "-req", "-in", "request", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key", "-days", "2",
        "-extfile", "ext", "-out", f"{file}.pem")


class Server:
    """`fusion serve` in a process of its own; its log in a file unless `stderr` says otherwise."""

    def __init__(self, *options, stderr=None, env=None, shell=None, fds=()):
        for old in ("port", "log"):
            Path(old).unlink(missing_ok=True)
        log = stderr if stderr is not None else open("log", "w")
        line = [FUSION, "serve", "tumour.fsn", "--ready-file", "port", "--grace-s", "5", *options]
        if shell:
            line = ["sh", "-c", shell, "sh", *line]
        self.process = subprocess.Popen(line, stdout=log, stderr=log, env={**os.environ, **(env or {})}, pass_fds=fds)
        wait_for(lambda: Path("port").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, Path("log").read_text()
        self.port = int(Path("port").read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0
        assert not Path("port").exists()


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def query(port, *options, code=0):
    return run(FUSION, "query", f"localhost:{port}", "--quiet", "--input", "q.csv", "--public", "pub.csv", "--labels",
               "lab.csv", "-o", "answers.csv", *options, code=code)


def as_client(name, authority="ca"):
    return "--tls-ca", f"{authority}.pem", "--tls-cert", f"{name}.pem", "--tls-key", f"{name}.key"


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def events():
    return [json.loads(line) for line in Path("log").read_text().splitlines()]


def check_admin(port):
    assert fetch(port, "/v2/health/live")[0] == 200
    assert fetch(port, "/v2/health/ready")[0] == 200
    models = json.loads(fetch(port, "/v2/models")[1])["models"]
    assert [m["name"] for m in models] == ["tumour"], models
    model = json.loads(fetch(port, "/v2/models/tumour")[1])
    assert model["inputs"][0]["shape"][0] == -1 and model["versions"][0] in run(FUSION, "inspect", "tumour.fsn").stdout
    assert fetch(port, "/v2/models/tumour/ready")[0] == 200
    assert fetch(port, "/v2/models/other")[0] == 404
    assert "<h1>fusion" in fetch(port, "/")[1]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", method="POST", data=b"x")
    try:
        urllib.request.urlopen(request, timeout=PATIENCE)
        raise AssertionError("POST was answered")
    except urllib.error.HTTPError as error:
        assert error.code == 405
    metrics = fetch(port, "/metrics")[1]
    assert '\nfusion_jobs_ended_total{outcome="done"} 1\n' in metrics, metrics
    promtool = shutil.which("promtool")
    print("promtool:", "not installed" if not promtool else run(promtool, "check", "metrics", input=metrics).stdout or "ok")


def serve_named_clients():
    notes = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notes.bind("notify")
    notes.settimeout(PATIENCE)
    Path("clients.json").write_text(json.dumps({"hospital-a": {"samples_day": 1500}, "bank": {"models": ["credit"]}}))
    server = Server("--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "ca.pem",
                    "--clients", "clients.json", "--ledger", "ledger.db", "--admin", "127.0.0.1:0", "--log-format", "json",
                    env={"NOTIFY_SOCKET": os.path.abspath("notify")})
    assert notes.recv(100) == b"READY=1"
    limits = Path(f"/proc/{server.process.pid}/limits").read_text()
    assert "Max core file size        0 " in limits, limits
    query(server.port, *as_client("hospital-a"))
    assert "not among those that this server serves" in query(server.port, *as_client("stranger"), code=16).stderr
    assert "may not use this model" in query(server.port, *as_client("bank"), code=16).stderr
    admin = int(events()[0]["text"].rsplit(" ", 1)[1])
    wait_for(lambda: any(e["event"] == "job_ended" for e in events()))
    ended = next(e for e in events() if e["event"] == "job_ended")
    assert ended["client"] == "hospital-a" and ended["status"] == "ok" and ended["samples"] == ended["declared"], ended
    begun = next(e for e in events() if e["event"] == "job_begun")
    assert begun["job_id"] == ended["job_id"]
    assert any(e["event"] == "refused" and e["client"] == "stranger" for e in events())
    check_admin(admin)
    left = 1500 - ended["declared"]
    while left >= ended["declared"]:
        query(server.port, *as_client("hospital-a"))
        left -= ended["declared"]
    assert f"has {left} samples left" in query(server.port, *as_client("hospital-a"), code=9).stderr
    check_reload(server)
    server.stop()
    assert notes.recv(100) == b"STOPPING=1"
    assert {e["event"] for e in events()} >= {"listening", "draining", "drained", "stopped"}


def check_reload(server):
    """Another server certificate and other clients, without a stop; what cannot be read changes nothing."""
    reloads = lambda: [e for e in events() if e["event"] == "reloaded"]
    Path("clients.json").write_text("nonsense")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(reloads()) == 1)
    assert reloads()[0]["status"] != "ok" and "clients.json" in reloads()[0]["reason"], reloads()
    assert query(server.port, *as_client("stranger"), code=16)
    Path("clients.json").write_text(json.dumps({"*": {}}))
    make_authority("other")
    make_certificate("other", "server", "serverAuth", "server")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(reloads()) == 2)
    assert reloads()[1]["status"] == "ok", reloads()
    query(server.port, *as_client("stranger"), code=7)  # trusts the old authority
    query(server.port, *as_client("stranger", "other"))


def verify_ledger():
    rows = sqlite3.connect("ledger.db").execute("SELECT client, outcome, samples, declared FROM jobs").fetchall()
    assert len(rows) >= 3 and all(r[1] == "done" and r[2] == r[3] for r in rows), rows
    assert rows[0][0] == "hospital-a" and rows[-1][0] == "stranger", rows
    assert f"verified   {len(rows)} rows" in run(FUSION, "ledger", "verify", "ledger.db").stdout
    assert json.loads(run(FUSION, "ledger", "verify", "ledger.db", "--json").stdout)["rows"] == len(rows)
    db = sqlite3.connect("ledger.db")
    db.executescript("DROP TRIGGER jobs_stay; UPDATE jobs SET samples = samples - 1 WHERE seq = 2")
    db.close()
    assert "row 2 was altered" in run(FUSION, "ledger", "verify", "ledger.db", code=7).stderr


def copy(source, target):
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        source.close()
        target.close()


def balance(listener, ports):
    """Connections go to the servers by turns, as behind a balancer."""
    for turn in itertools.count():
        try:
            client, _ = listener.accept()
        except OSError:
            return
        server = socket.create_connection(("127.0.0.1", ports[turn % len(ports)]))
        for ends in ((client, server), (server, client)):
            threading.Thread(target=copy, args=ends, daemon=True).start()


def share_a_ledger():
    """A job over two servers: a part at each, done at both, one row, counted once."""
    options = ("--listen", "127.0.0.1:0", "--plaintext", "--ledger", "shared.db", "--log-format", "json")
    logs = [open(f"log{i}", "w") for i in range(2)]
    servers = [Server(*options, stderr=log) for log in logs]
    listener = socket.create_server(("127.0.0.1", 0))
    threading.Thread(target=balance, args=(listener, [s.port for s in servers]), daemon=True).start()
    query(listener.getsockname()[1], "--plaintext", "--workers", "2", "--shard-samples", "10")
    listener.close()
    for server in servers:
        server.process.send_signal(signal.SIGTERM)
    assert [s.process.wait(PATIENCE) for s in servers] == [0, 0]
    ended = [e for i in range(2) for e in map(json.loads, Path(f"log{i}").read_text().splitlines()) if e["event"] == "job_ended"]
    assert len(ended) == 2 and all(e["status"] == "ok" for e in ended), ended
    assert ended[0]["job_id"] == ended[1]["job_id"]
    declared = ended[0]["declared"]
    assert all(0 < e["samples"] < declared for e in ended) and sum(e["samples"] for e in ended) == declared, ended
    db = sqlite3.connect("shared.db")
    assert db.execute("SELECT outcome, samples, declared FROM jobs").fetchall() == [("done", declared, declared)]
    assert db.execute("SELECT SUM(samples) FROM days").fetchone() == (declared,)
    assert db.execute("SELECT COUNT(*) FROM open_jobs").fetchone() == (0,)


def survive_a_closed_log():
    reading, writing = os.pipe()
    server = Server("--listen", "127.0.0.1:0", "--plaintext", stderr=writing)
    os.close(writing)
    os.close(reading)
    for _ in range(2):
        query(server.port, "--plaintext")
    server.stop()


def take_a_passed_socket():
    listener = socket.create_server(("127.0.0.1", 0))
    fd = listener.fileno()
    server = Server("--plaintext", shell=f'exec 3<&{fd}; LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec "$@"',
                    fds=(fd,))
    assert server.port == listener.getsockname()[1]
    query(server.port, "--plaintext")
    server.stop()


def refuse_bad_starts():
    no = run(FUSION, "serve", "tumour.fsn", "--listen", "127.0.0.1:0", "--plaintext", "--ready-file", "missing/port", code=4)
    assert "cannot write this file" in no.stderr
    no = run(FUSION, "serve", "tumour.fsn", "--listen", "127.0.0.1:0", "--plaintext", "--state", "missing/state", code=4)
    assert "cannot be written" in no.stderr
    os.chmod("server.key", 0o644)
    no = run(FUSION, "serve", "missing.fsn", "--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key",
             code=4)
    assert "every user of this machine can read this key" in no.stderr
    no = run(FUSION, "query", "127.0.0.1:1", "--plaintext", "--input", "q.csv", "--public", "pub.csv", "--labels", "lab.csv",
             code=15)
    assert "cannot connect" in no.stderr


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_data()
        make_authority("ca")
        make_certificate("ca", "server", "serverAuth", "server")
        for name in ("hospital-a", "bank", "stranger"):
            make_certificate("ca", name, "clientAuth", name)
        serve_named_clients()
        verify_ledger()
        share_a_ledger()
        survive_a_closed_log()
        take_a_passed_socket()
        refuse_bad_starts()
        os.chdir("/")


main()
