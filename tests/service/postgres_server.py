#!/usr/bin/env python3
"""A PostgreSQL server of a test's own: data in a temporary folder, on a loopback port and a Unix socket there.

usage: postgres_server.py COMMAND [ARG...]     runs COMMAND with the server's address in FUSION_TEST_POSTGRES

Ends with 77, a skip, where PostgreSQL is not installed. PostgreSQL refuses to run as root: then it runs as `postgres` or
`nobody`."""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 60


def find_programs():
    """The folder of initdb and postgres, or None."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda f: int(f.split("/")[-2]), reverse=True)
    on_path = shutil.which("initdb")
    folders += [os.path.dirname(on_path)] if on_path else []
    return next((f for f in folders if os.access(f"{f}/initdb", os.X_OK) and os.access(f"{f}/postgres", os.X_OK)), None)


def skip_without():
    if find_programs():
        return
    print("skipped: PostgreSQL is not installed (Debian package postgresql)")
    sys.exit(77)


def user_without_rights():
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    sys.exit("there is neither a user postgres nor nobody to run PostgreSQL as")


class Postgres:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="fusion-pg-")
        self.programs = find_programs()
        self.user = {}
        if os.getuid() == 0:
            who = user_without_rights()
            self.user = {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}
            os.chown(self.folder, who.pw_uid, who.pw_gid)
        self.data = f"{self.folder}/data"
        # As fast as a test wants it: this data need not survive a failure of the machine.
        self.run("initdb", "-D", self.data, "-U", "fusion", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"postgresql://fusion@127.0.0.1:{self.port}/postgres"
        self.process = None
        self.start()

    def run(self, program, *args):
        done = subprocess.run([f"{self.programs}/{program}", *args], cwd=self.folder, capture_output=True, text=True, **self.user)
        assert done.returncode == 0, f"{program}: {done.stdout}{done.stderr}"

    def start(self):
        log = open(f"{self.folder}/log", "a")
        self.process = subprocess.Popen(
            [f"{self.programs}/postgres", "-D", self.data, "-k", self.folder, "-p", str(self.port), "-h", "127.0.0.1", "-c",
             "fsync=off", "-c", "max_connections=60", "-c", "shared_buffers=16MB"],
            cwd=self.folder, stdout=log, stderr=log, **self.user)
        end = time.monotonic() + PATIENCE
        while subprocess.run([f"{self.programs}/pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]).returncode:
            assert self.process.poll() is None and time.monotonic() < end, open(f"{self.folder}/log").read()
            time.sleep(0.05)

    def stop(self):
        """Cuts its connections, and ends."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE)
        self.process = None

    def ask(self, sql):
        """Statements; the last one's rows as lines, their cells split by bars."""
        done = subprocess.run([f"{self.programs}/psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, self.url],
                              capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.stop()
        shutil.rmtree(self.folder)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    skip_without()
    with Postgres() as server:
        sys.exit(subprocess.run(sys.argv[1:], env={**os.environ, "FUSION_TEST_POSTGRES": server.url}).returncode)
