"""A job of many queries whose tasks are answered here, in the clear, at once: what the coordinator itself holds is left.
Prints the bytes of the queries and the growth of the process's peak during the job, as JSON.
usage: memory_job.py SERVER_ADDRESS QUERIES INPUT_SIZE SECURITY_BITS"""
import json
import re
import struct
import sys
from concurrent.futures import Executor, Future

import numpy as np

import fusion
from fusion._native import lib

REPORT = 0x31525446  # "FTR1", src/session/task.c
ANSWERS = 10


class Clear(Executor):
    """Answers with the first nine numbers of a sample behind a large one, so that every label is 0."""

    _max_workers = 2

    def __init__(self):
        self.tasks = 0

    def submit(self, function, settings, task, *_):
        self.tasks += 1
        engine_len, = struct.unpack_from("<H", task, 4)
        _, samples, input_size, answer_size, manifest_len = struct.unpack_from("<QIIII", task, 6 + engine_len + 16)
        rows = np.frombuffer(task, np.uint8, offset=6 + engine_len + 40 + manifest_len).reshape(samples, input_size, -1)
        value = rows[:, :ANSWERS - 1, -1].astype(np.int64)  # the high byte: not 0 where the bit is set
        report = bytearray(lib.fusion_task_report_len(task, len(task)))
        struct.pack_into("<III", report, 0, REPORT, samples, answer_size)
        answers = np.concatenate([np.full((samples, 1), 1 << 20), value], axis=1).astype("<i8").tobytes()
        report[-len(answers):] = answers
        done = Future()
        done.set_result(bytes(report))
        return done


def peak():
    """Most bytes that were resident, so far."""
    with open("/proc/self/status") as f:
        return int(re.search(r"VmHWM:\s*(\d+)", f.read())[1]) << 10


def main():
    address, (queries, size, security) = sys.argv[1], map(int, sys.argv[2:])
    X = np.zeros((queries, size), np.uint8)
    bits = np.arange(queries)[:, None] >> np.arange(ANSWERS - 1) & 1
    X[:, :ANSWERS - 1] = 255 * bits
    public = np.random.default_rng(0).integers(0, 255, (200, size), np.uint8), np.zeros(200, np.int64)
    client, executor = fusion.Client(address, plaintext=True, shard_samples=512, security_bits=security), Clear()
    client.predict(X[:8], public=public, executor=executor)
    before = peak()
    result = client.predict(X, public=public, executor=executor)
    after = peak()
    right = bool(((result.raw[:, 1:] > 0) == (bits > 0)).all())
    print(json.dumps({"queries": X.nbytes, "growth": after - before, "tasks": executor.tasks, "right": right,
                      "samples": result.verdict.samples}))


if __name__ == "__main__":
    main()
