#!/usr/bin/env python3
"""Allowances are exact: 20 jobs of one client at once over two servers that share a ledger, while clients and a server are killed.

usage: allowances.py FUSION SOURCE"""
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from service_scene import Server, as_client, make_authority, make_certificate, make_data, query_line, run, wait_for, FUSION

JOBS, FIT = 20, 9  # so many of them have room
SHARD = 2
NAMES = "AB"


def begin(name):
    return Server("--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "ca.pem", "--clients",
                  "clients.json", "--ledger", "ledger.db", "--log-format", "json", "--max-client-connections", str(JOBS),
                  "--max-clients", str(2 * JOBS), name=f"{name}{time.monotonic_ns()}")


def client(port, i):
    """A job of one connection, in a process of its own. Its shards are small, so that it stays a while."""
    line = query_line(port, *as_client("hospital-a"), "--workers", "1", "--shard-samples", str(SHARD))
    line[line.index("answers.csv")] = f"answers{i}.csv"
    return subprocess.Popen([str(a) for a in line], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def ask(sql):
    with sqlite3.connect("ledger.db", timeout=30) as db:
        return db.execute(sql).fetchall()


def counted():
    return ask("SELECT COALESCE(SUM(samples), 0) FROM days")[0][0]


def ran():
    """What the servers have said they ran: of jobs that ended, and of those that still run."""
    return ask("SELECT COALESCE(SUM(samples), 0) FROM jobs")[0][0] + ask("SELECT COALESCE(SUM(booked), 0) FROM open_jobs")[0][0]


def declared_samples():
    """Of one job, asked of a server without limits."""
    Path("clients.json").write_text("{}")
    server = Server("--listen", "127.0.0.1:0", "--plaintext")
    run(*query_line(server.port, "--plaintext", "--report", "report.json"))
    server.stop()
    return json.loads(Path("report.json").read_text())["samples"]


def main():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        make_data()
        make_authority("ca")
        make_certificate("ca", "server", "serverAuth", "server")
        make_certificate("ca", "hospital-a", "clientAuth", "hospital-a")
        job = declared_samples()
        limit = FIT * job + job // 2
        Path("clients.json").write_text(json.dumps({"hospital-a": {"samples_day": limit}}))
        servers = [begin(name) for name in NAMES]
        day = time.gmtime().tm_yday
        clients = [client(servers[i % 2].port, i) for i in range(JOBS)]
        wait_for(lambda: ran() > job)
        killed = [c for c in clients if c.poll() is None][:3]
        for c in killed:
            c.kill()
        servers[1].process.send_signal(signal.SIGKILL)
        servers[1].process.wait()
        most = 0
        while any(c.poll() is None for c in clients):
            most = max(most, counted())
            assert most <= limit, f"{most} samples counted, {limit} allowed"
            time.sleep(0.05)
        codes = [c.wait() for c in clients]
        for c in clients:
            c.stderr.close()
        # The killed server's hold runs out; then whoever looks first gives its claims back.
        ask("UPDATE holds SET until = 0")
        servers[1] = begin("B")
        wait_for(lambda: ask("SELECT COUNT(*) FROM open_jobs")[0][0] == 0)
        rows = ask("SELECT outcome, COUNT(*), SUM(samples) FROM jobs GROUP BY outcome ORDER BY outcome")
        done = codes.count(0)
        # A shard counts when it begins: one that a kill broke off counts, and is none that ran.
        used, broken = counted(), counted() - ran()
        assert 0 <= broken <= SHARD * (JOBS - codes.count(9)), (used, broken, rows)
        assert used <= limit and codes.count(9) >= JOBS - FIT, (used, limit, codes)
        # What is left is exactly what is left.
        while used + job <= limit:
            run(*query_line(servers[0].port, *as_client("hospital-a")))
            used += job
        refused = run(*query_line(servers[1].port, *as_client("hospital-a")), code=9).stderr
        assert f"has {limit - used} samples left" in refused, refused
        wait_for(lambda: counted() == used)
        for server in servers:
            server.stop()
        run(FUSION, "ledger", "verify", "ledger.db")
        assert time.gmtime().tm_yday == day, "a new day began; run it again"
        print(f"allowances: {JOBS} jobs of {job} samples for {limit}: {done} done, {codes.count(9)} refused, rows {rows}; "
              f"{broken} broken off; {used} of {limit} used in the end")


if __name__ == "__main__":
    main()
