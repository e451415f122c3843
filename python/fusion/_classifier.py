"""A served model with scikit-learn's interface."""
from __future__ import annotations

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from fusion._client import Client, Result
from fusion._errors import InputError, UsageError


class FusionClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose model stays on a server, and whose inputs stay here.

    fit() trains nothing: it keeps X and y as the public samples that show in every job that the model is as accurate as
    promised. predict() and predict_proba() run one private job each, and raise RejectedError when its check rejects.

    host, ca, cert, key, plaintext, min_accuracy: as Client has them. classes: all labels of the network, where y does not
    have all. settings: a dict of more settings of Client.

    After fit(): classes_ [classes], the sorted labels; n_features_in_; public_X_, public_y_."""

    def __init__(self, host=None, *, ca=None, cert=None, key=None, plaintext=False, min_accuracy=0.95, classes=None,
                 settings=None):
        self.host = host
        self.ca = ca
        self.cert = cert
        self.key = key
        self.plaintext = plaintext
        self.min_accuracy = min_accuracy
        self.classes = classes
        self.settings = settings

    def fit(self, X, y):
        """Keeps public samples X [samples][features] and their true labels y [samples], numbers or names as the model has
        them, at least as many as a job needs (100 by default). ValueError when they do not fit each other."""
        X, y = self._validate_data(X, y, dtype="numeric")
        check_classification_targets(y)
        self.classes_ = np.unique(y if self.classes is None else np.concatenate([np.asarray(self.classes), y]))
        self.public_X_, self.public_y_ = X, y
        return self

    def _client(self) -> Client:
        if self.host is None:
            raise UsageError("FusionClassifier: host is missing; give \"HOST:PORT\"")
        return Client(self.host, ca=self.ca, cert=self.cert, key=self.key, plaintext=self.plaintext,
                      min_accuracy=self.min_accuracy, **(self.settings or {}))

    def ask(self, X) -> Result:
        """Runs the job of X [samples][features]: its answers and its verdict. As Client.predict()."""
        check_is_fitted(self)
        X = self._validate_data(X, reset=False, dtype="numeric")
        return self._client().predict(X, public=(self.public_X_, self.public_y_))

    def _has_names(self) -> bool:
        return self.classes_.dtype.kind in "UO"

    def predict(self, X):
        """[samples]: the label of each. RejectedError, with the verdict, when the check rejects; else as
        Client.predict()."""
        result = self.ask(X).check()
        labels = result.names if self._has_names() else result.labels
        return np.asarray(labels).astype(self.classes_.dtype)

    def predict_proba(self, X):
        """float64 [samples][classes]: probabilities in the order of classes_. UsageError when the network does not end in a
        Softmax or Sigmoid; InputError when it has classes that classes_ lacks; else as predict()."""
        result = self.ask(X).check()
        values = result.probabilities
        known = [str(c) if self._has_names() else c for c in result.classes]
        if values.shape[1] == 1:
            values = np.hstack([1 - values, values])
        wanted = [str(c) if self._has_names() else c for c in self.classes_]
        missing = [c for c in known if c not in wanted]
        if missing:
            raise InputError(f"the network has class {missing[0]}, which y lacks; name all of them in classes")
        out = np.zeros((len(values), len(wanted)))
        out[:, [wanted.index(c) for c in known]] = values
        return out
