"""Compiling, keeping, inspecting and running models."""
import json
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.ensemble import (ExtraTreesRegressor, GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier)
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

import fusion


@pytest.fixture
def flowers():
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return x[order], y[order]


def test_run__equals_the_command(model, queries, command, tmp_path):
    model.save(tmp_path / "m.fsn")
    np.save(tmp_path / "q.npy", queries)
    subprocess.run([command, "run", "m.fsn", "--input", "q.npy", "-o", "a.npy"], cwd=tmp_path, check=True, capture_output=True)
    answers = model.run(queries)
    assert (answers.raw == np.load(tmp_path / "a.npy")).all()
    assert answers.answers.dtype == np.float64 and (answers.answers.argmax(1) == answers.labels).all()
    assert np.allclose(answers.probabilities.sum(1), 1) and len(answers) == len(queries)
    assert answers.names is None


def test_run__in_parts_equals_rows_alone(model, digits):
    many = np.tile(digits[0], (2, 1))[:2500]
    raw = model.run(many).raw
    assert raw.shape == (2500, 10) and (raw[[0, 1023, 1024, 2499]] == model.run(many[[0, 1023, 1024, 2499]]).raw).all()


def test_load__gives_what_was_saved(model, queries, tmp_path):
    model.save(tmp_path / "m.fsn")
    again = fusion.load(tmp_path / "m.fsn")
    assert again.info.model_id == model.info.model_id and again.report is None
    assert (again.run(queries).raw == model.run(queries).raw).all()
    (tmp_path / "bad.fsn").write_bytes((tmp_path / "m.fsn").read_bytes()[:-1])
    with pytest.raises(fusion.ModelError, match="bad.fsn"):
        fusion.load(tmp_path / "bad.fsn")


def test_run__refuses_what_exceeds_the_range(model, digits, queries):
    with pytest.raises(fusion.InputError, match="clip=True clips them"):
        model.run(queries * 100)
    with pytest.warns(fusion.FusionWarning, match="clipped"):
        assert len(model.run(queries * 100, clip=True)) == len(queries)
    with pytest.raises(fusion.InputError, match="clip=True takes them as they are"):
        model.run(digits[0][:200] * 1.4)
    with pytest.raises(fusion.InputError, match="row 3 holds NaN"):
        bad = queries.copy()
        bad[3, 5] = np.nan
        model.run(bad)
    with pytest.raises(fusion.InputError):
        model.run(queries[:, 1:])


def test_inspect__equals_the_command(model, command, tmp_path):
    model.save(tmp_path / "m.fsn")
    told = json.loads(subprocess.run([command, "inspect", tmp_path / "m.fsn", "--json"], check=True, capture_output=True,
                                     text=True).stdout)
    seen = model.inspect(samples=128)
    assert [d.ring_bits for d in seen.layers] == [d["ring_bits"] for d in told["layers"]]
    assert seen.info.model_id == told["model_id"] and seen.info.weights == told["weights"]
    assert seen.prediction.samples == 128 and seen.prediction.bytes_to_server > 0
    assert "linear" in str(seen) and "<table>" in seen._repr_html_() and "64x1x1" in repr(model)


def test_run_float__is_near(mlp, model, queries, tmp_path):
    fusion.export_onnx(mlp, tmp_path / "m.onnx")
    real = model.run_float(tmp_path / "m.onnx", queries)
    assert np.abs(real - model.run(queries).probabilities).max() < 0.1


@pytest.mark.parametrize("estimator", [
    MLPClassifier((16,), max_iter=400, random_state=0), LogisticRegression(max_iter=500),
    make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=400, random_state=0)),
    make_pipeline(MinMaxScaler(), LogisticRegression(max_iter=500))], ids=repr)
@pytest.mark.parametrize("labels", ["numbers", "names", "two"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::fusion.FusionWarning")
def test_compile__scikit_learn_classifiers(flowers, estimator, labels):
    x, y = flowers
    if labels == "names":
        y = np.array(["setosa", "versicolor", "virginica"])[y]
    if labels == "two":
        y = np.where(y == 2, 7, 3)
    m = fusion.compile(estimator.fit(x, y), x, y, bits=(10, 14))
    answers = m.run(x)
    found = answers.names if labels == "names" else answers.labels
    assert (found == estimator.predict(x)).mean() >= 0.98 and m.classes == np.unique(y).tolist()
    assert np.abs(answers.probabilities - estimator.predict_proba(x)).max() < 0.1
    assert m.report.labelled and m.report.fixed_accuracy == pytest.approx((found == y).mean())


@pytest.mark.parametrize("estimator", [LinearRegression(), MLPRegressor((16,), max_iter=500, random_state=0)], ids=repr)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning", "ignore::fusion.FusionWarning")
def test_compile__scikit_learn_regressors(flowers, estimator):
    x, target = flowers[0][:, :3], flowers[0][:, 3]
    m = fusion.compile(estimator.fit(x, target), x, bits=(10, 14))
    assert np.abs(m.run(x).answers[:, 0] - estimator.predict(x)).max() < 0.05


@pytest.mark.parametrize("estimator", [
    DecisionTreeClassifier(max_depth=4, random_state=0), RandomForestClassifier(10, max_depth=4, random_state=0),
    GradientBoostingClassifier(n_estimators=8, max_depth=2, random_state=0)], ids=repr)
@pytest.mark.parametrize("labels", ["numbers", "names", "two"])
@pytest.mark.filterwarnings("ignore::fusion.FusionWarning")
def test_compile__scikit_learn_trees(flowers, estimator, labels):
    x, y = flowers
    if labels == "names":
        y = np.array(["setosa", "versicolor", "virginica"])[y]
    if labels == "two":
        y = np.where(y == 2, 7, 3)
    answers = fusion.compile(estimator.fit(x, y), x, y).run(x)
    found = answers.names if labels == "names" else answers.labels
    assert (found == estimator.predict(x)).all()
    boosted = isinstance(estimator, GradientBoostingClassifier)
    shown = answers.probabilities if boosted else answers.answers  # a forest's answers are probabilities already
    assert np.abs(shown - estimator.predict_proba(x)).max() < 0.05


@pytest.mark.parametrize("estimator", [GradientBoostingRegressor(n_estimators=10, random_state=0),
                                       ExtraTreesRegressor(5, max_depth=5, random_state=0)], ids=repr)
@pytest.mark.filterwarnings("ignore::fusion.FusionWarning")
def test_compile__scikit_learn_tree_regressors(estimator):
    x, y = load_breast_cancer(return_X_y=True)
    x, target = x[:200].astype(np.float32), x[:200, 0] / 10
    m = fusion.compile(estimator.fit(x, target), x, calibration_rows=0)
    assert np.abs(m.run(x).answers[:, 0] - estimator.predict(x)).max() < 0.1


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_export__refuses_by_name(flowers):
    with pytest.raises(fusion.UnsupportedError, match="SVC cannot be exported"):
        fusion.export_onnx(SVC().fit(*flowers))
    with pytest.raises(fusion.UnsupportedError, match="its loss is 'exponential'"):
        x, y = flowers
        fusion.export_onnx(GradientBoostingClassifier(n_estimators=2, loss="exponential").fit(x, y == 1))
    with pytest.raises(fusion.UnsupportedError, match="activation 'tanh'"):
        fusion.export_onnx(MLPClassifier(activation="tanh", max_iter=1).fit(*flowers))


@pytest.mark.filterwarnings("ignore::fusion.FusionWarning")
def test_compile__label_and_top_k(mlp, digits, model):
    x = digits[0]
    a = fusion.compile(mlp, x, output="label", bits=(8, 12), salt="ab" * 32).run(x[:9])
    assert a.answers.shape == (9,) and (a.answers == model.run(x[:9]).labels).all()
    m = fusion.compile(mlp, x, output="top-k:3", bits=(8, 12))
    assert m.run(x[:9]).answers.shape == (9, 6) and m.info.top_k == 3


@pytest.mark.parametrize("given, text", [
    ({"defence": "best"}, "give logits, label, top-K, reverse-sigmoid"), ({"output": "top-k"}, "label, top-K"),
    ({"rounding": "odd"}, "exact or fast"),
    ({"mean": [1, 2], "std": [1]}, "mean has 2 numbers and std 1"), ({"network": 5}, "give an ONNX file")])
def test_compile__refuses_by_name(mlp, digits, given, text):
    with pytest.raises(fusion.UsageError, match=text):
        fusion.compile(**{"network": mlp, "calibration": digits[0][:50], **given})
    with pytest.raises(TypeError, match="compile\\(\\) has no setting 'wieght_bits'"):
        fusion.compile(mlp, digits[0], wieght_bits=8)


@pytest.mark.filterwarnings("ignore::fusion.FusionWarning")
def test_compile__onnx_bytes_and_preprocessing(mlp, digits):
    x = digits[0]
    plain = fusion.compile(fusion.export_onnx(mlp), x, bits=(8, 12), salt="01" * 32)
    scaled = fusion.compile(fusion.export_onnx(mlp), x * 16 + 3, bits=(8, 12), salt="01" * 32, input_scale=1 / 16, mean=3 / 16)
    assert (plain.run(x).labels == scaled.run(x * 16 + 3).labels).mean() > 0.99
