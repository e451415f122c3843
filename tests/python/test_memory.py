"""What a job of many samples holds at its coordinator."""
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

import fusion

QUERIES, SIZE, SECURITY = 1 << 14, 784, 20  # 3 copies


@pytest.fixture(scope="module")
def wide_server():
    """A server of a network with 784 inputs, as for MNIST."""
    random = np.random.default_rng(3)
    x, y = random.integers(0, 256, (60, SIZE)), np.arange(60) % 10
    with pytest.warns():
        network = MLPClassifier((4,), max_iter=2, random_state=1).fit(x, y)
        model = fusion.compile(network, np.concatenate([x, np.full((1, SIZE), 255)]))
    with fusion.Server(model, plaintext=True, stop_grace_ms=100) as server:
        yield server


def test_coordinator__holds_a_few_bytes_of_each_number(wide_server):
    """Packed numbers, indices and answers; no array of all samples, neither shuffled nor as 64-bit numbers."""
    program = Path(__file__).with_name("memory_job.py")
    command = [sys.executable, program, wide_server.address, str(QUERIES), str(SIZE), str(SECURITY)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["right"] and said["samples"] >= 3 * QUERIES and said["tasks"] > said["samples"] / 512
    assert said["queries"] == QUERIES * SIZE
    assert said["growth"] < 4 * said["queries"], said
