"""What the tests of the running service share: data and a model, certificates, servers as processes, queries. The test's
command line begins with FUSION SOURCE."""
import atexit
import json
import os
import signal
import subprocess
import sys
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
    """`fusion serve` in a process of its own; its log in the file log`name`, unless `stderr` says otherwise."""

    def __init__(self, *options, model="tumour.fsn", name="", grace="5", stderr=None, env=None, shell=None, stdin=None):
        port_file, self.log = Path(f"port{name}"), Path(f"log{name}")
        for old in (port_file, self.log):
            old.unlink(missing_ok=True)
        log = stderr if stderr is not None else open(self.log, "w")
        line = [FUSION, "serve", *([model] if model else []), "--ready-file", port_file, "--grace-s", grace, *options]
        if shell:
            line = ["sh", "-c", shell, "sh", *line]
        self.process = subprocess.Popen(line, stdin=stdin, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        atexit.register(self.process.kill)  # after a failed assertion
        if stderr is None:
            log.close()
        self.port_file = port_file
        wait_for(lambda: port_file.exists() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        self.port = int(port_file.read_text())

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0
        assert not self.port_file.exists()

    def events(self):
        """Of a log in JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    @property
    def admin(self):
        """The admin address's port, as the log in JSON has it."""
        return int(self.events()[0]["text"].rsplit(" ", 1)[1])


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def query_line(port, *options):
    return [FUSION, "query", f"localhost:{port}", "--quiet", "--input", "q.csv", "--public", "pub.csv", "--labels", "lab.csv", "-o",
            "answers.csv", *options]


def query(port, *options, code=0):
    return run(*query_line(port, *options), code=code)


def as_client(name, authority="ca"):
    return "--tls-ca", f"{authority}.pem", "--tls-cert", f"{name}.pem", "--tls-key", f"{name}.key"


def fetch(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
