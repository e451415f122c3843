"""What an attacker asks: a model behind `fusion`, through a private job or in the clear, and the forms its answers may have. What a form
hides, `fusion compile --defence` hides: the attacker gets what a client gets.

Private answers equal those of Model.run() bit for bit, so that an attack of many thousand queries may ask in the clear: what it
finds is what it would find through the protocol. A job pays for copies and public samples on top of the queries counted here."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import interpreter  # noqa: E402

interpreter.need("numpy", "torch")

import numpy as np  # noqa: E402

# The defence that a model is compiled with to answer in a form. Probabilities are what a client makes of logits.
FORMS = {"logits": "logits", "probabilities": "logits", "rounded": "round,1", "reverse-sigmoid": "reverse-sigmoid,0.7,0.2",
         "label": "label"}


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def rows_of(answers, form, classes):
    """What a client reads off answers of a model that was compiled for the form: float64 [n][classes], each row a distribution but for
    "logits"."""
    if form == "label":
        return np.eye(classes)[answers.labels]
    if form == "logits":
        return np.asarray(answers.answers, dtype=np.float64)
    if form == "probabilities":
        return softmax(np.asarray(answers.answers, dtype=np.float64))
    p = answers.probabilities
    return p / np.maximum(p.sum(axis=1, keepdims=True), 0.1)


class Oracle:
    """ask(X) float [n][...] -> float64 [n][classes]. `answers` is a function of X that gives the answers of a model compiled for `form`;
    queries are counted."""

    def __init__(self, answers, form, classes):
        self.answers, self.form, self.classes, self.queries = answers, form, classes, 0

    def __call__(self, X):
        self.queries += len(X)
        return rows_of(self.answers(X), self.form, self.classes)


def in_the_clear(model):
    """Answers of a fusion.Model. Samples beyond the input's range are clipped, as an attacker would do before he asks."""
    import warnings

    def answers(X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.run(X, clip=True)
    return answers


def through_jobs(client, public):
    """Answers of accepted private jobs. `public`: samples and labels. The verdict must be "accept"."""
    def answers(X):
        result = client.predict(X, public=public, clip=True)
        if not result.accepted:
            raise RuntimeError(f"the job was rejected: {result.verdict}")
        return result
    return answers
