#!/usr/bin/env python3
"""A server over many small jobs: its memory, descriptors and threads must stay as they are. Between the jobs come connections
that are silent, send garbage or leave at once.

usage: soak.py FUSION SOURCE [JOBS [postgres]]     2,000 jobs by default; the ledger in an SQLite file, or in PostgreSQL"""
import contextlib
import os
import random
import socket
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(sys.argv[2]).resolve() / "tests" / folder) for folder in ("cli", "service")] if len(sys.argv) > 2 else []
from postgres_server import Postgres, skip_without  # noqa: E402
from service_scene import FUSION, Server, as_client, make_authority, make_certificate, make_data, query, run  # noqa: E402

JOBS = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
WARM = max(JOBS // 4, 1)  # caches fill
GROWTH_KIB = 512
# Without malloc's caches of threads, which fill over hundreds of jobs and look like a leak (tests/faults/load_test.c).
PLAIN_MALLOC = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1"}


def usage(pid):
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return int(status["VmRSS"].split()[0]), len(os.listdir(f"/proc/{pid}/fd")), int(status["Threads"])


def settle(pid, descriptors, threads):
    """The server's threads end a little after the client."""
    end = time.monotonic() + 30
    while usage(pid)[1:] != (descriptors, threads) and time.monotonic() < end:
        time.sleep(0.02)
    return usage(pid)


def bother(port):
    for kind in range(4):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as s:
            if kind == 1:
                s.sendall(random.randbytes(100))
            if kind == 2:
                s.sendall(b"\x16\x03\x01")
            if kind == 3:
                s.sendall(b"\x16")
                time.sleep(0.01)


def soak(server):
    pid, began = server.process.pid, time.monotonic()
    _, descriptors, threads = usage(pid)
    early = None
    for i in range(1, JOBS + 1):
        query(server.port, *as_client("hospital-a"))
        bother(server.port)
        if i == 1:
            time.sleep(1)
            _, descriptors, threads = usage(pid)  # with the ledger's own, which are opened at the first job
        if i == WARM:
            early = settle(pid, descriptors, threads)
        if i % max(JOBS // 20, 1) == 0:
            now = settle(pid, descriptors, threads)
            print(f"{i} jobs, {time.monotonic() - began:.0f} s: resident {now[0] / 1024:.1f} MiB, {now[1]} descriptors, {now[2]} threads",
                  flush=True)
            assert now[1:] == (descriptors, threads), f"there were {descriptors} descriptors and {threads} threads"
    grown = settle(pid, descriptors, threads)[0] - early[0]
    assert grown < GROWTH_KIB, f"memory grew by {grown} KiB since job {WARM}"
    print(f"since job {WARM}: {grown} KiB")


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    in_postgres = sys.argv[4:5] == ["postgres"]
    if in_postgres:
        skip_without()
    with tempfile.TemporaryDirectory() as folder, Postgres() if in_postgres else contextlib.nullcontext() as database:
        os.chdir(folder)
        make_data()
        make_authority("ca")
        make_certificate("ca", "server", "serverAuth", "server")
        make_certificate("ca", "hospital-a", "clientAuth", "hospital-a")
        ledger = database.url if in_postgres else "ledger.db"
        server = Server("--listen", "127.0.0.1:0", "--tls-cert", "server.pem", "--tls-key", "server.key", "--client-ca", "ca.pem",
                        "--ledger", ledger, "--admin", "127.0.0.1:0", "--log-format", "json", "--handshake-timeout-s", "2",
                        env=PLAIN_MALLOC)
        soak(server)
        server.stop()
        print(run(FUSION, "ledger", "verify", ledger).stdout.splitlines()[0])
        os.chdir("/")


main()
