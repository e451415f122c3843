"""FusionClassifier: scikit-learn's estimator checks with a client that needs no server, and a real job."""
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import parametrize_with_checks

import fusion


class NearestResult:
    """Answers as a Result has them: each query gets the label of the nearest public sample."""

    def __init__(self, x, public):
        samples, labels = (np.asarray(a) for a in public)
        nearest = ((np.asarray(x, float)[:, None] - samples.astype(float)[None]) ** 2).sum(2).argmin(1)
        self.classes = np.unique(labels).tolist()
        self.labels = self.names = labels[nearest]
        self.probabilities = np.eye(len(self.classes))[np.searchsorted(self.classes, self.labels)]

    def check(self):
        return self


class NearestClient:
    def predict(self, x, public):
        return NearestResult(x, public)


class NearestClassifier(fusion.FusionClassifier):
    """The checks fit data of many shapes, for which no served model exists: only the client is another one."""

    def _client(self):
        return NearestClient()


@parametrize_with_checks([NearestClassifier()])
def test_estimator__checks(estimator, check):
    check(estimator)


def test_classifier__predicts_on_a_served_model(server, model, public, queries):
    c = fusion.FusionClassifier(server.address, plaintext=True, min_accuracy=0.85).fit(*public)
    assert (c.predict(queries) == model.run(queries).labels).all()
    p = c.predict_proba(queries)
    assert p.shape == (len(queries), 10) and np.allclose(p.sum(1), 1)
    assert (c.classes_[p.argmax(1)] == model.run(queries).labels).all()


def test_classifier__stands_in_a_pipeline_and_is_cloned(server, public, queries):
    c = fusion.FusionClassifier(server.address, plaintext=True, min_accuracy=0.85, settings={"workers": 1})
    line = make_pipeline(FunctionTransformer(), clone(c)).fit(*public)
    assert line.predict(queries).shape == (len(queries),)


def test_classifier__raises_when_the_check_rejects(server, public, queries):
    x, y = public
    c = fusion.FusionClassifier(server.address, plaintext=True, min_accuracy=0.85).fit(x, (y + 1) % 10)
    with pytest.raises(fusion.RejectedError, match="public answers are wrong") as wrong:
        c.predict(queries)
    assert not wrong.value.verdict.accepted


def test_classifier__refuses_what_does_not_fit(server, public, queries):
    with pytest.raises(fusion.UsageError, match="host is missing"):
        fusion.FusionClassifier().fit(*public).predict(queries)
    with pytest.raises(ValueError, match="features"):
        fusion.FusionClassifier(server.address, plaintext=True).fit(*public).predict(queries[:, 1:])


def test_probabilities__need_all_classes(server, public, queries):
    x, y = public
    few = fusion.FusionClassifier(server.address, plaintext=True, min_accuracy=0.85).fit(x[y < 9], y[y < 9])
    with pytest.raises(fusion.InputError, match="class 9, which y lacks"):
        few.predict_proba(queries)
    few.set_params(classes=range(10)).fit(x[y < 9], y[y < 9])
    assert few.predict_proba(queries).shape == (len(queries), 10)
