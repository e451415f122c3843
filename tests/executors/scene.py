"""What the tests of executors share: a model of scikit-learn's digits and a server of it in this process."""
import contextlib
import warnings

import numpy as np
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import fusion

SHARD_SAMPLES = 20


class Scene:
    """A client of `server`, and what it asks: 16 queries, 500 public samples to draw from."""

    def __init__(self, model, server, x, y):
        self.model, self.server = model, server
        self.queries, self.public = x[1500:1516], (x[1000:1500], y[1000:1500])
        self.client = fusion.Client(server.address, plaintext=True, min_accuracy=0.85, shard_samples=SHARD_SAMPLES)

    def ask(self, executor, **settings):
        """A job on the executor; its answers are the model's, bit for bit."""
        result = self.client.predict(self.queries, public=self.public, executor=executor, **settings)
        assert result.accepted and (result.raw == self.model.run(self.queries).raw).all()
        return result


@contextlib.contextmanager
def scene():
    """A Scene, until its server stops."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(y))
    x, y = x[order], y[order]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPClassifier((32,), max_iter=300, random_state=1, tol=1e-3).fit(x[:1000], y[:1000])
        model = fusion.compile(network, x[:500], bits=(8, 12))
    with fusion.Server(model, plaintext=True, stop_grace_ms=100) as server:
        yield Scene(model, server, x, y)
