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
import urllib.error
import urllib.request
from pathlib import Path

from service_scene import (FUSION, PATIENCE, SOURCE, Server, as_client, fetch, make_authority, make_certificate, make_data, query,
                           query_line, run, wait_for)


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
    assert '\nfusion_jobs_ended_total{model="tumour",outcome="done"} 1\n' in metrics, metrics
    check_metrics(metrics)


def check_metrics(metrics):
    """By Prometheus's own tool."""
    if shutil.which("promtool"):
        run("promtool", "check", "metrics", input=metrics)


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
    assert "may use no model of this server" in query(server.port, *as_client("bank"), code=16).stderr
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


def add_model(file, network):
    run(FUSION, "compile", SOURCE / "tests/model/data" / network, "--calibrate", "pub.csv", "--bits", "8,8", "--samples", "0", "-o",
        file)


def serve_several_models():
    """Each client asks for its model; SIGHUP rereads the folder."""
    folder = Path("models")
    folder.mkdir()
    Path("prepared").mkdir(0o700)
    shutil.copy("tumour.fsn", folder / "tumour@1.fsn")
    add_model(folder / "credit@9.fsn", "gemm.onnx")
    add_model(folder / "credit@10.fsn", "gemm.onnx")
    Path("clients.json").write_text(json.dumps({"hospital-a": {"models": ["tumour", "credit@10"]}, "bank": {"models": ["credit"]}}))
    run(FUSION, "keygen", "-o", "receipts.key")
    server = Server("--models", "models", "--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key",
                    "--client-ca", "ca.pem", "--clients", "clients.json", "--ledger", "models.db", "--admin", "127.0.0.1:0",
                    "--log-format", "json", "--receipt-key", "receipts.key", "--prepared-folder", "prepared", "--engine", "all",
                    model=None)
    hospital, bank, port = as_client("hospital-a", "other"), as_client("bank", "other"), server.port
    query(port, *hospital, "--model", "tumour", "--receipt", "receipt")
    assert "tumour" not in query(port, *bank, "--model", "other", code=16).stderr
    no = query(port, *bank, "--model", "tumour", code=16).stderr
    assert "there is no model 'tumour' for this client; there are: credit@10, credit@9" in no, no
    no = query(port, *hospital, code=16).stderr
    assert "name one with --model: credit@10, tumour@1" in no, no
    query(port, *bank)  # has one alone
    no = query(port, *bank, "--model", "a b", code=2).stderr
    assert "not a model's name" in no, no
    run(FUSION, "audit", f"localhost:{port}", *bank, "--model", "credit@9", "--public", "pub.csv", "--labels", "lab.csv",
        "--canaries", "canaries", "--min-accuracy", "0.5", "--quiet")
    query(port, *bank, "--model", "credit@9", "--canaries", "canaries", "--min-accuracy", "0.5")
    no = query(port, *bank, "--model", "credit@10", "--canaries", "canaries", code=14).stderr
    assert "model changed since the audit" in no, no
    run(FUSION, "prepare", f"localhost:{port}", *bank, "--model", "credit@10", "--samples", "5", "--engine", "delphi", "-o", "state")
    models = json.loads(fetch(server.admin, "/v2/models")[1])["models"]
    assert [(m["name"], m["version"]) for m in models] == [("credit", "10"), ("credit", "9"), ("tumour", "1")], models
    credit = json.loads(fetch(server.admin, "/v2/models/credit")[1])
    assert credit["versions"] == ["10", "9"] and credit["id"] == models[0]["id"], credit
    assert json.loads(fetch(server.admin, "/v2/models/credit/versions/9")[1])["id"] == models[1]["id"]
    assert fetch(server.admin, "/v2/models/credit/versions/9/ready")[0] == 200
    assert [fetch(server.admin, f"/v2/models/{p}")[0] for p in ("cred", "credit/versions/1", "credit/x", "")] == [404] * 4
    reread_models(server, folder, hospital)
    metrics = fetch(server.admin, "/metrics")[1]
    assert '\nfusion_jobs_ended_total{model="tumour@1",outcome="done"} 2\n' in metrics, metrics
    check_metrics(metrics)
    server.stop()
    ids = dict(sqlite3.connect("models.db").execute("SELECT model, COUNT(*) FROM jobs GROUP BY model").fetchall())
    assert set(ids) >= {m["id"] for m in models}, (ids, models)


def reread_models(server, folder, hospital):
    """A job that runs goes on with its model; what cannot be read changes nothing."""
    reloads = lambda: [e for e in server.events() if e["event"] == "reloaded"]
    ids = lambda: {m["name"] + "@" + m["version"]: m["id"] for m in json.loads(fetch(server.admin, "/v2/models")[1])["models"]}
    before = ids()
    Path(folder / "broken.fsn").write_text("nonsense")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(reloads()) == 1)
    assert reloads()[0]["status"] != "ok" and "broken.fsn" in reloads()[0]["reason"], reloads()
    Path(folder / "broken.fsn").unlink()
    add_model("new.fsn", "gemm.onnx")
    jobs = len([e for e in server.events() if e["event"] == "job_begun"])
    running = subprocess.Popen(query_line(server.port, *hospital, "--model", "tumour", "--workers", "1", "--shard-samples", "1",
                                          "--min-public", "200", "--security", "20"))
    wait_for(lambda: len([e for e in server.events() if e["event"] == "job_begun"]) > jobs)
    running.send_signal(signal.SIGSTOP)  # in the middle of the job
    assert running.poll() is None, "the job ended before the models were read again"
    os.rename("new.fsn", folder / "tumour@1.fsn")
    os.rename(folder / "credit@9.fsn", folder / "credit@11.fsn")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: len(reloads()) == 2)
    assert reloads()[1]["status"] == "ok", reloads()
    after = ids()
    assert set(after) == {"credit@11", "credit@10", "tumour@1"} and after["credit@11"] == before["credit@9"], after
    assert after["tumour@1"] != before["tumour@1"] and after["credit@10"] == before["credit@10"]
    running.send_signal(signal.SIGCONT)
    assert running.wait(PATIENCE) == 0
    ended = [e for e in server.events() if e["event"] == "job_ended"][-1]
    assert ended["status"] == "ok" and ended["model"] == "tumour@1", ended


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
    server = Server("--plaintext", stdin=listener,
                    shell='exec 3<&0 0</dev/null; LISTEN_PID=$$ LISTEN_FDS=1; export LISTEN_PID LISTEN_FDS; exec "$@"')
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
        serve_several_models()
        share_a_ledger()
        survive_a_closed_log()
        take_a_passed_socket()
        refuse_bad_starts()
        os.chdir("/")
    if not shutil.which("promtool"):
        print("skipped: the metrics' format, since promtool is not installed (Debian package prometheus)")
        sys.exit(77)


if __name__ == "__main__":
    main()
