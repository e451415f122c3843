"""What an attacker asks: a model behind `fusion`, through a private job or in the clear, and the forms its answers may have.

Private answers equal those of Model.run() bit for bit, so that an attack of many thousand queries may ask in the clear: what it
finds is what it would find through the protocol. A job pays for copies and public samples on top of the queries counted here."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import interpreter  # noqa: E402

interpreter.need("numpy", "torch")

import numpy as np  # noqa: E402

FORMS = ("logits", "probabilities", "rounded", "reverse-sigmoid", "label")


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def logistic(u):
    return 1 / (1 + np.exp(-u))


def reverse_sigmoid(z, beta=0.7, gamma=0.2):
    """The defence of Lee, Edwards, Molloy and Su (2019). With u_j = z_j - log(sum of exp(z_k), k != j) the probability of class j is
    logistic(u_j); it becomes logistic(u_j) - beta * (logistic(gamma * u_j) - 1/2), and the row is divided by its sum.
    With beta = gamma = 1 this is 1/2 for every class, whatever the sample: it protects the model from everyone."""
    p = np.clip(softmax(z), 1e-7, 1 - 1e-7)
    u = np.log(p / (1 - p))
    g = logistic(u) - beta * (logistic(gamma * u) - 0.5)
    return g / g.sum(axis=1, keepdims=True)


def answer_form(z, form, decimals=1, beta=0.7, gamma=0.2):
    """Logits float64 [n][classes] to what the client sees: the same shape, each row a distribution but for "logits"."""
    if form == "logits":
        return z
    if form == "probabilities":
        return softmax(z)
    if form == "rounded":
        rounded = np.round(softmax(z), decimals)
        return rounded / np.maximum(rounded.sum(axis=1, keepdims=True), 10.0 ** -decimals)
    if form == "reverse-sigmoid":
        return reverse_sigmoid(z, beta, gamma)
    if form == "label":
        return np.eye(z.shape[1])[z.argmax(axis=1)]
    raise ValueError(f"form '{form}' is none of {', '.join(FORMS)}")


class Oracle:
    """ask(X) float [n][...] -> float64 [n][classes]. `logits` is a function of X that gives the model's logits; queries are counted."""

    def __init__(self, logits, form="logits", **form_settings):
        self.logits, self.form, self.settings, self.queries = logits, form, form_settings, 0

    def __call__(self, X):
        self.queries += len(X)
        return answer_form(np.asarray(self.logits(X), dtype=np.float64), self.form, **self.settings)


def in_the_clear(model):
    """Logits of a fusion.Model. Samples beyond the input's range are clipped, as an attacker would do before he asks."""
    import warnings

    def logits(X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.run(X, clip=True).answers
    return logits


def through_jobs(client, public):
    """Logits of accepted private jobs. `public`: samples and labels. The verdict must be "accept"."""
    def logits(X):
        result = client.predict(X, public=public, clip=True)
        if not result.accepted:
            raise RuntimeError(f"the job was rejected: {result.verdict}")
        return result.answers
    return logits
