"""Private jobs over loopback: results, verdicts, canaries, receipts, journals, Ctrl-C."""
import _thread
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fusion
from fusion._verdict import format_bytes, format_seconds


def test_predict__answers_equal_the_model_bit_for_bit(client, model, public, queries):
    r = client.predict(queries, public=public)
    expected = model.run(queries)
    assert r.accepted and r.check() is r and len(r) == len(queries)
    assert (r.raw == expected.raw).all() and (r.labels == expected.labels).all()
    assert (r.answers == expected.answers).all() and (r.probabilities == expected.probabilities).all()
    assert r.classes == list(range(10)) and r.names is None and not r.is_label and r.receipts == b""
    assert r.verdict.queries == len(queries) and r.verdict.soundness_bits >= 40


@pytest.mark.parametrize("defence", ["reverse-sigmoid", "reverse-sigmoid,0.5,0.5", "round,1", "top-2", "label"])
@pytest.mark.filterwarnings("ignore::fusion.FusionWarning")
def test_predict__answers_of_a_defence(mlp, digits, model, public, queries, defence):
    defended = fusion.compile(mlp, digits[0][:500], bits=(8, 12), defence=defence)
    assert defended.info.output == ("top-k" if defence == "top-2" else defence.partition(",")[0])
    with fusion.Server(defended, plaintext=True, stop_grace_ms=100) as server:
        r = fusion.Client(server.address, plaintext=True, min_accuracy=0.85).predict(queries, public=public)
    assert r.info.output == defended.info.output and r.info.beta == defended.info.beta and r.info.digits == defended.info.digits
    assert (r.raw == defended.run(queries).raw).all() and (r.labels == model.run(queries).labels).mean() > 0.9
    if defence in ("top-2", "label"):
        with pytest.raises(fusion.UsageError, match="no probabilities"):
            r.probabilities
        return
    p, q = r.probabilities, model.run(queries).probabilities
    assert (p.argmax(axis=1) == r.labels).all() and abs(p.sum(axis=1) - 1).max() < (0.25 if defence == "round,1" else 1e-9)
    assert abs(p - q).max() < 0.06 if defence == "round,1" else (p.max(axis=1) < q.max(axis=1)).all()


@pytest.mark.parametrize("publish", [0, 1])
@pytest.mark.filterwarnings("ignore:.*public samples equal")
def test_predict__tokens(publish):
    network = Path(__file__).resolve().parents[1] / "model/tokens/tokens.onnx"
    x = np.random.default_rng(3).integers(0, 5, (400, 3))
    model = fusion.compile(network, x, bits=(8, 12), publish_embeddings=publish)
    assert model.info.tokens == 5 and model.info.publishes_embeddings == publish
    labels = model.run(x).labels
    with fusion.Server(model, plaintext=True, stop_grace_ms=100) as server:
        client = fusion.Client(server.address, plaintext=True, min_accuracy=0.85)
        r = client.predict(x[:16], public=(x[100:], labels[100:]))
        assert r.accepted and (r.raw == model.run(x[:16]).raw).all()
        with pytest.raises(fusion.InputError, match="sample 1 has 5 in place 2; tokens are whole numbers from 0 to 4"):
            client.predict(np.array([[0, 1, 2], [0, 1, 5]]), public=(x[100:], labels[100:]))


@pytest.mark.parametrize("name", ["masks/bert", "masks/sdpa", "operators/argmax_between"])
@pytest.mark.filterwarnings("ignore:.*public samples equal")
def test_predict__networks_of_rarer_operators(name):
    """Privately the same numbers as in the clear, which are near those of NumPy."""
    network = Path(__file__).resolve().parents[1] / "model" / (name + ".onnx")
    expected = np.load(network.parent / "expected.npz")
    x, y = (np.repeat(expected[network.stem + end], 1 if name.startswith("masks") else 6, axis=0) for end in (".in", ".out"))
    y = y.reshape(len(y), -1)
    model = fusion.compile(network, x, bits=(12, 14))
    with fusion.Server(model, plaintext=True, stop_grace_ms=100) as server:
        client = fusion.Client(server.address, plaintext=True, min_accuracy=0.85)
        r = client.predict(x[:8], public=(x[-100:], y[-100:].argmax(axis=1)))
        assert r.accepted and (r.raw == model.run(x[:8]).raw).all()
        assert abs(r.answers - y[:8]).max() < 0.02 * abs(y).max()


def test_predict__the_speeds_of_both_parties_enter_the_predicted_time(model, public, queries):
    here = fusion.calibrate()
    times = []
    for server_speeds, speeds in ((None, None), (here, here), (None, here)):
        with fusion.Server(model, plaintext=True, stop_grace_ms=100, speeds=server_speeds) as server:
            client = fusion.Client(server.address, plaintext=True, min_accuracy=0.85, speeds=speeds, workers=1)  # else their number is chosen by the line
            verdict = client.predict(queries, public=public).verdict
        times.append(verdict.predicted)
        assert ("predicted " in str(verdict)) == (speeds is not None)
    assert times[0] is None
    assert all(t["seconds"] > 0 and t["server_seconds"] > 0 and t["client_seconds"] > 0 for t in times[1:])
    assert times[1]["server_seconds"] == pytest.approx(times[2]["server_seconds"])  # who tells nothing counts as equally fast


def test_predict__takes_frames_and_files(client, model, public, queries, tmp_path):
    x, y = public
    np.save(tmp_path / "p.npy", x)
    np.save(tmp_path / "l.npy", y)
    r = client.predict(pd.DataFrame(queries), public=(tmp_path / "p.npy", tmp_path / "l.npy"))
    assert (r.raw == model.run(queries).raw).all()


def test_predict__a_rejected_job_has_no_answers(client, public, queries):
    r = client.predict(queries, public=(public[0], (public[1] + 1) % 10))
    assert not r.accepted and r.verdict.verdict == "reject"
    for name in ("answers", "raw", "labels", "probabilities", "names"):
        with pytest.raises(fusion.RejectedError, match="public answers are wrong") as wrong:
            getattr(r, name)
        assert wrong.value.verdict is r.verdict
    assert "reject" in r._repr_html_() and "reject" in repr(r)


@pytest.mark.parametrize("given, kind, text", [
    ({"public": None}, fusion.UsageError, "public samples with their labels, or canaries"),
    ({"public": 3}, fusion.UsageError, "public: give a pair"),
    ({"X": np.zeros((2, 3))}, fusion.InputError, "must be alike"),
    ({"min_accuracy": 0.01, "security_bits": 100}, fusion.UnreachableError, ""),
    ({"manifest": "00" * 32}, fusion.OtherModelError, ""), ({"model_id": "00" * 32}, fusion.ModelChangedError, "audit"),
    ({"engine": "nonsense"}, fusion.UsageError, "no such protocol engine"), ({"receipts": True}, fusion.FusionError, "receipt")])
def test_predict__failures_are_exceptions(client, public, queries, given, kind, text):
    with pytest.raises(kind, match=text):
        client.predict(**{"X": queries, "public": public, **given})


def test_client__refuses_before_it_connects(tmp_path):
    with pytest.raises(fusion.TlsError, match="ca.pem"):
        (tmp_path / "ca.pem").write_text("no certificate")
        fusion.Client("localhost:1", ca=tmp_path / "ca.pem")
    with pytest.raises(TypeError, match="Client has no setting 'min_acuracy'"):
        fusion.Client("localhost:1", plaintext=True, min_acuracy=0.9)
    with pytest.raises(fusion.FusionError):
        fusion.Client("localhost:1")
    with pytest.raises(fusion.UsageError, match="loopback|HOST"):
        fusion.Client("nowhere", plaintext=True)


def test_predict__nobody_there(public, queries):
    with pytest.raises(fusion.FileError):
        fusion.Client("127.0.0.1:1", plaintext=True).predict(queries, public=public)


def test_plan__is_that_of_the_job(client):
    assert client.plan(16).copies == fusion.plan(16, min_accuracy=0.85).copies


def test_verdict__prints_what_the_command_prints(server, public, queries, command, tmp_path):
    for name, a in (("q", queries), ("p", public[0][:150]), ("l", public[1][:150])):
        np.save(tmp_path / f"{name}.npy", a)
    line = [server.address, "--plaintext", "--public", "p.npy", "--labels", "l.npy", "--min-accuracy", "0.85", "--report", "r.json"]

    def printed(*more):
        out = subprocess.run([command, *more], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
        return [s for s in out.splitlines() if not s.startswith("written")]

    for more in (["query", *line, "--input", "q.npy"], ["audit", *line, "--canaries", "c"],
                 ["query", *line, "--input", "q.npy", "--canaries", "c"]):
        expected = printed(*more)
        report = json.loads((tmp_path / "r.json").read_text())
        assert str(fusion.Verdict(report)).splitlines() == expected


def test_verdict__is_a_page_and_a_fragment(client, public, queries, tmp_path):
    v = client.predict(queries, public=public).verdict
    assert v.html().lower().startswith("<!doctype html") and "<script" not in v._repr_html_()
    v.save(tmp_path / "v.html")
    v.save(tmp_path / "v.json")
    assert (tmp_path / "v.html").read_text() == v.html()
    assert json.loads((tmp_path / "v.json").read_text())["reason"] == v.reason
    escaped = fusion.Verdict({**v.as_dict(), "reason": "<b>&"})
    assert "<b>&<" not in escaped._repr_html_() and "&lt;b&gt;&amp;" in escaped._repr_html_()
    with pytest.raises(fusion.FileError, match="cannot be written"):
        v.save(tmp_path / "missing" / "v.json")


def test_format__as_the_command():
    assert [format_bytes(n) for n in (999, 1000, 34917580, 2 << 40)] == ["999 B", "0.98 KiB", "33.3 MiB", "2.00 TiB"]
    assert [format_seconds(s) for s in (0.13, 5.44, 42, 200, 7300)] == ["130 ms", "5.4 s", "42 s", "3 min 20 s", "2 h 1 min"]


def test_audit__canaries_make_later_jobs_cheaper(client, model, public, queries, tmp_path):
    a = client.audit(public[0][:200], public[1][:200], canaries=tmp_path / "c")
    assert a.accepted and a.verdict.audit["this_job"] and a.verdict.audit["samples"] == 200
    assert len(a.verdict.audit["classes"]) == 10 and (tmp_path / "c").stat().st_mode & 0o777 == 0o600
    r = client.predict(queries, canaries=tmp_path / "c", add_canaries=True)
    assert r.verdict.canaries >= 20 and r.verdict.public == r.verdict.canaries
    assert (r.raw == model.run(queries).raw).all()
    assert "unchanged" in str(r.verdict) and r.verdict.samples < client.plan(len(queries)).samples
    size = (tmp_path / "c").stat().st_size
    client.predict(queries, canaries=tmp_path / "c", add_canaries=True)
    assert (tmp_path / "c").stat().st_size == size


def test_audit__rejected_writes_no_canaries(client, public, tmp_path):
    a = client.audit(public[0][:50], (public[1][:50] + 1) % 10, canaries=tmp_path / "c")
    assert not a.accepted and not (tmp_path / "c").exists()


def test_canaries__notice_another_model(mlp, digits, server, client, public, queries, tmp_path):
    client.audit(public[0][:100], public[1][:100], canaries=tmp_path / "c")
    with pytest.warns(fusion.FusionWarning):
        other = fusion.compile(mlp, digits[0][:200], bits=(5, 9))
    with fusion.Server(other, plaintext=True) as changed:
        with pytest.raises(fusion.ModelError):
            fusion.Client(changed.address, plaintext=True, canaries=tmp_path / "c").predict(queries)


def test_receipts__are_signed_over_tls(model, certificates, public, queries, tmp_path):
    key = fusion.keygen(tmp_path / "receipt.key")
    with fusion.Server(model, cert=certificates / "server.pem", key=certificates / "server.key",
                       client_ca=certificates / "ca.pem", receipt_key=tmp_path / "receipt.key") as s:
        who = {"ca": certificates / "ca.pem", "cert": certificates / "client.pem", "key": certificates / "client.key"}
        r = fusion.Client(s.address, **who, receipts=True, receipt_key=key, min_accuracy=0.85).predict(queries, public=public)
        with pytest.raises(fusion.FusionError):
            fusion.Client(s.address, ca=certificates / "ca.pem").predict(queries, public=public)
    r.save(receipts=tmp_path / "r", answers=tmp_path / "a.npy", report=tmp_path / "v.html", form="raw")
    seen = fusion.verify_receipt(tmp_path / "r", key)
    assert seen.samples == r.verdict.samples == seen.declared and seen.model_id == model.info.model_id
    assert (np.load(tmp_path / "a.npy") == r.raw).all() and r.receipts == (tmp_path / "r").read_bytes()
    (tmp_path / "r").write_bytes(r.receipts[:-1] + bytes([r.receipts[-1] ^ 1]))
    with pytest.raises(fusion.CryptoError):
        fusion.verify_receipt(tmp_path / "r", key)


def test_save__all_files_or_none(client, public, queries, tmp_path):
    r = client.predict(queries, public=public)
    with pytest.raises(fusion.FileError):
        r.save(answers=tmp_path / "a.npy", report=tmp_path / "missing" / "v.json")
    assert not (tmp_path / "a.npy").exists()


def test_journal__stays_until_it_is_forgotten(client, public, queries, tmp_path):
    r = client.predict(queries, public=public, journal=tmp_path / "j")
    assert (tmp_path / "j").exists()
    again = client.predict(queries, public=public, journal=tmp_path / "j")
    assert (again.raw == r.raw).all() and again.verdict.workers == 0
    again.forget()
    assert not (tmp_path / "j").exists()
    bad = client.predict(queries, public=(public[0], (public[1] + 1) % 10), journal=tmp_path / "j")
    bad.forget()
    with pytest.raises(fusion.RejectedError) as wrong:
        client.predict(queries, public=(public[0], (public[1] + 1) % 10), journal=tmp_path / "j")
    assert wrong.value.verdict is None


def test_keep__spares_the_next_job_its_base_ots(client, public, queries, tmp_path):
    sent = []
    for _ in range(3):
        r = client.predict(queries, public=public, keep=tmp_path / "kept", workers=1)
        assert r.verdict.accepted and (tmp_path / "kept").stat().st_mode & 0o777 == 0o600
        sent.append(r.verdict.bytes_sent + r.verdict.bytes_received)
    assert sent[1] < sent[0] - 10000 and sent[2] < sent[0] - 10000
    (tmp_path / "other").write_text("text")
    with pytest.raises(fusion.InputError, match="no kept set-up"):
        client.predict(queries, public=public, keep=tmp_path / "other")


def test_progress__is_told_and_may_end_the_job(client, public, digits):
    seen = []
    client.predict(digits[0][:300], public=public, progress=seen.append)
    assert seen and all(p.samples == seen[-1].samples for p in seen if p.samples) and seen[-1].bytes > 0
    with pytest.raises(fusion.ClosedError, match="cancelled"):
        client.predict(digits[0], public=public, progress=lambda p: False)


def test_progress__its_exceptions_reach_the_caller(client, public, digits):
    def broken(p):
        raise KeyError("mine")
    with pytest.raises(KeyError, match="mine"):
        client.predict(digits[0], public=public, progress=broken)


def test_progress__bar_of_tqdm(client, public, queries, capsys):
    client.predict(queries, public=public, progress=True)
    assert "samples" in capsys.readouterr().err


def test_interrupt__ends_the_job(client, public, digits):
    started = []

    def begin(p):
        if not started:
            started.append(time.monotonic())
            threading.Timer(0.05, _thread.interrupt_main).start()
    many = np.tile(digits[0], (20, 1))
    with pytest.raises(KeyboardInterrupt):
        client.predict(many, public=public, progress=begin)
    assert time.monotonic() - started[0] < 10


def test_cancel__from_another_thread(client, public, digits):
    many = np.tile(digits[0], (20, 1))
    with pytest.raises(fusion.ClosedError, match="cancelled"):
        client.predict(many, public=public, progress=lambda p: threading.Thread(target=client.cancel).start())


def test_jobs__run_side_by_side_with_the_interpreter(client, model, public, queries):
    found = [None] * 3

    def ask(i):
        found[i] = client.predict(queries, public=public)
    threads = [threading.Thread(target=ask, args=[i]) for i in range(3)]
    for t in threads:
        t.start()
    turns = 0
    while any(t.is_alive() for t in threads):
        turns += 1
        time.sleep(0.001)
    assert turns > 10 and all((r.raw == model.run(queries).raw).all() for r in found)


def test_server__counts_and_logs(model, public, queries):
    lines = []
    with fusion.Server(model, plaintext=True, log=lines.append) as s:
        fusion.Client(s.address, plaintext=True, min_accuracy=0.85).predict(queries, public=public)
        assert s.port > 0
    assert s.totals.jobs_done == 1 and s.totals.samples > 0 and s.totals.connections == 0
    assert any("done" in line for line in lines)
    with pytest.raises(fusion.UsageError, match="started before"):
        s.start()


def test_server__refuses_by_name(model, server, tmp_path):
    with pytest.raises(fusion.UsageError, match="TLS certificate"):
        fusion.Server(model)
    with pytest.raises(fusion.FileError):
        fusion.Server(model, listen=server.address, plaintext=True)
    with pytest.raises(fusion.FileError, match="no.pem"):
        fusion.Server(model, cert=tmp_path / "no.pem", key=tmp_path / "no.key")


def test_server__still_running_ends_with_the_interpreter(model, tmp_path):
    model.save(tmp_path / "m.fsn")
    program = "import fusion, sys; s = fusion.Server(fusion.load(sys.argv[1]), plaintext=True, log=print).start(); print(s.port)"
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "m.fsn"], env=os.environ, capture_output=True, text=True, timeout=50)
    assert done.returncode == 0 and int(done.stdout.split()[0]) > 0 and done.stderr == ""


def test_predict__names_a_row_far_down(client, public, digits):
    """Queries are looked at and quantised a part at a time."""
    many = np.tile(digits[0][1500:1600], (50, 1)).astype(np.float32)
    many[4700, 3] = 1000
    with pytest.raises(fusion.InputError, match="1 of 5000 queries go beyond.*the first is row 4700: feature 3 is 1000"):
        client.predict(many, public=public)
    many[4701, 5] = np.nan
    with pytest.raises(fusion.InputError, match="row 4701 holds NaN"):
        client.predict(many, public=public)
