"""scikit-learn estimators as ONNX files, with the nodes that the usual exporters write. Needs the module onnx."""
from __future__ import annotations

import os

import numpy as np

from fusion._errors import FileError, UnsupportedError
from fusion._trees import is_tree, tree_model

SUPPORTED = ("MLPClassifier, MLPRegressor (relu or identity), LogisticRegression, LinearRegression, Ridge, and a Pipeline of "
             "StandardScaler or MinMaxScaler and one of these; alone, DecisionTree, RandomForest, ExtraTrees and "
             "GradientBoosting classifiers and regressors")


def _scaler(step, at: str, weights: dict, helper):
    """A node that scales: (x - offset) * scale."""
    name = type(step).__name__
    if name == "StandardScaler":
        offset = step.mean_ if step.mean_ is not None else np.zeros(step.n_features_in_)
        scale = 1 / step.scale_ if step.scale_ is not None else np.ones(step.n_features_in_)
    elif name == "MinMaxScaler" and not step.clip:
        offset, scale = -step.min_ / step.scale_, step.scale_
    else:
        raise UnsupportedError(f"{name} cannot be exported; supported: {SUPPORTED}")
    return helper.make_node("Scaler", [at], ["scaled"], domain="ai.onnx.ml", offset=offset.astype(np.float32).tolist(),
                            scale=scale.astype(np.float32).tolist())


def _layers(estimator):
    """Matrices [in][out] and biases; what stands between them; the last activation."""
    name = type(estimator).__name__
    if name in ("MLPClassifier", "MLPRegressor"):
        if estimator.activation not in ("relu", "identity"):
            raise UnsupportedError(f"activation '{estimator.activation}' of {name}: use relu or identity")
        last = {"softmax": "Softmax", "logistic": "Sigmoid", "identity": None}[estimator.out_activation_]
        return estimator.coefs_, estimator.intercepts_, estimator.activation == "relu", last
    if name in ("LogisticRegression", "LinearRegression", "Ridge"):
        weights = np.atleast_2d(estimator.coef_).T
        bias = np.zeros(weights.shape[1]) + estimator.intercept_
        last = None if name != "LogisticRegression" else "Sigmoid" if weights.shape[1] == 1 else "Softmax"
        return [weights], [bias], False, last
    raise UnsupportedError(f"{name} cannot be exported; supported: {SUPPORTED}")


def _labels(estimator, scores: int, at: str, helper):
    """A ZipMap that names the classes, where they are not 0, 1, ...; None otherwise."""
    classes = getattr(estimator, "classes_", None)
    if classes is None or list(classes) == list(range(len(classes))):
        return None
    if scores == 1:
        return None  # one score has two classes, which a ZipMap cannot name
    names = [str(c) for c in classes]
    kind = {"classlabels_strings": names}
    if np.asarray(classes).dtype.kind in "iu":
        kind = {"classlabels_int64s": [int(c) for c in classes]}
    return helper.make_node("ZipMap", [at], ["y"], domain="ai.onnx.ml", **kind)


def _two_scores(weights: list, biases: list):
    """A binary classifier's one score z as (0, z): Softmax then gives what Sigmoid gave, and its classes have names."""
    w, b = weights[-1], biases[-1]
    return [*weights[:-1], np.hstack([np.zeros_like(w), w])], [*biases[:-1], np.array([0.0, float(b[0])])]


def export_onnx(estimator, path=None) -> bytes:
    """A fitted scikit-learn estimator as ONNX bytes, which are also written to `path` if it is given.

    Supported: MLPClassifier and MLPRegressor (relu or identity), LogisticRegression, LinearRegression, Ridge, and a
    Pipeline of StandardScaler or MinMaxScaler and one of these; alone, DecisionTree, RandomForest, ExtraTrees and
    GradientBoosting classifiers and regressors. Class labels are kept. UnsupportedError, FileError."""
    try:
        import onnx
        from onnx import TensorProto, helper, numpy_helper
    except ImportError:
        raise UnsupportedError("the module onnx is missing; install python3-onnx") from None
    if is_tree(estimator):
        try:
            return _written(tree_model(estimator).SerializeToString(), path)
        except ValueError as wrong:
            raise UnsupportedError(f"{type(estimator).__name__} cannot be exported: {wrong}") from None
    steps = [s for _, s in estimator.steps] if hasattr(estimator, "steps") else [estimator]
    *scalers, last = steps
    weights, biases, relu, final = _layers(last)
    if final == "Sigmoid":
        weights, biases = _two_scores(weights, biases)
        final = "Softmax"
    nodes, tensors, at = [], {}, "x"
    for step in scalers:
        nodes.append(_scaler(step, at, tensors, helper))
        at = "scaled"
    for i, (w, b) in enumerate(zip(weights, biases)):
        tensors.update({f"w{i}": w.astype(np.float32), f"b{i}": b.astype(np.float32)})
        nodes += [helper.make_node("MatMul", [at, f"w{i}"], [f"m{i}"]), helper.make_node("Add", [f"m{i}", f"b{i}"], [f"a{i}"])]
        at = f"a{i}"
        if relu and i + 1 < len(weights):
            nodes.append(helper.make_node("Relu", [at], [f"r{i}"]))
            at = f"r{i}"
    if final:
        nodes.append(helper.make_node(final, [at], ["p"], axis=1))
        at = "p"
    outputs = weights[-1].shape[1]
    named = _labels(last, outputs, at, helper)
    nodes.append(named or helper.make_node("Identity", [at], ["y"]))
    graph = helper.make_graph(
        nodes, "network", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, weights[0].shape[0]])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, outputs])],
        [numpy_helper.from_array(np.ascontiguousarray(w), n) for n, w in tensors.items()])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    return _written(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString(), path)


def _written(data: bytes, path) -> bytes:
    if path is not None:
        try:
            with open(path, "wb") as f:
                f.write(data)
        except OSError as wrong:
            raise FileError(f"'{os.fspath(path)}': cannot be written: {wrong.strerror}") from None
    return data
