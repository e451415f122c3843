"""Compiled models: made, kept, looked at and run in the clear."""
from __future__ import annotations

import os
import re
import tempfile
import warnings
from typing import Any, Sequence

import numpy as np

from fusion import _arrays
from fusion._arrays import Preprocess, Samples, is_path, to_numpy
from fusion._errors import FusionWarning, InputError, UsageError, call, make
from fusion._native import ffi, lib
from fusion._settings import Record, decode, encode, fill, new, result, values
from fusion._verdict import format_bytes, format_seconds

OUTPUTS = {"logits": lib.FUSION_OUTPUT_LOGITS, "label": lib.FUSION_OUTPUT_LABEL, "top-k": lib.FUSION_OUTPUT_TOP_K,
           "reverse-sigmoid": lib.FUSION_OUTPUT_REVERSE_SIGMOID, "round": lib.FUSION_OUTPUT_ROUND}
DEFENCE = re.compile(r"(?P<kind>logits|label)|top-k:(?P<k>\d+)|top-(?P<best>\d+)|round(,(?P<digits>\d))?"
                     r"|reverse-sigmoid(,(?P<beta>[\d.]+),(?P<gamma>[\d.]+))?")
ROUNDINGS = {"exact": lib.FUSION_ROUNDING_EXACT, "fast": lib.FUSION_ROUNDING_FAST}
RUN_ROWS = 1024  # between two looks for Ctrl-C


def classes_of(function, of) -> list:
    """What the network's file calls its classes, numbers or names; `function` is fusion_model_class or alike."""
    number, text = ffi.new("int64_t *"), ffi.new("char **")
    found = []
    while function(of, len(found), number, text):
        found.append(decode(text[0]) if text[0] else number[0])
    return found


def info_of(function, of) -> Record:
    """fusion_model_info; `function` is fusion_model_describe or alike."""
    out = result("fusion_model_info")
    call(function, of, out)
    named = values(out)
    named["output"] = {v: k for k, v in OUTPUTS.items()}[named["output"]]
    named["rounding"] = {v: k for k, v in ROUNDINGS.items()}[named["rounding"]]
    return Record(named)


class Answers:
    """Answers of a model that ran in the clear."""

    def __init__(self, model: Model, raw: _arrays.Array):
        self._model = model
        self._raw = raw

    def _real(self, probabilities: bool) -> np.ndarray:
        out = ffi.new("fusion_array **")
        call(lib.fusion_model_real_answers, self._model._handle, self._raw.handle, probabilities, out)
        return to_numpy(ffi.gc(out[0], lib.fusion_array_free))

    @property
    def raw(self) -> np.ndarray:
        """int64 [samples][answer size]: the model's integers."""
        return to_numpy(self._raw.handle)

    @property
    def answers(self) -> np.ndarray:
        """float64 [samples][answer size]: real numbers; int64 [samples] where an answer is a label."""
        return self.labels if self._model.info.output == "label" else self._real(False)

    @property
    def probabilities(self) -> np.ndarray:
        """float64 of that shape: logits through the Softmax or Sigmoid of the network, of a LogSoftmax their logarithms;
        of the defences "reverse-sigmoid" and "round" what they leave of the probabilities, reversed ones of classes
        divided by their sum. UsageError when it has none."""
        return self._real(True)

    @property
    def labels(self) -> np.ndarray:
        """int64 [samples]: the label that each answer decides for, as the network's file has it."""
        out = np.empty(self._raw.rows, np.int64)
        call(lib.fusion_model_labels, self._model._handle, self._raw.handle, ffi.cast("int64_t *", out.ctypes.data))
        return out

    @property
    def names(self) -> np.ndarray | None:
        """[samples] of str: the labels' names; None where the file has none."""
        return names_of(self.labels, self._model.classes)

    def __len__(self) -> int:
        return self._raw.rows


def names_of(labels: np.ndarray, classes: list) -> np.ndarray | None:
    """A name's number is its index."""
    return np.array(classes)[labels] if classes and isinstance(classes[0], str) else None


class Inspection(Record):
    """A model, layer by layer, and what a private run costs: `info`, `layers` and `prediction`, each with the fields of
    fusion_model_info, fusion_layer and fusion_prediction. print() shows a table."""

    info: Record
    layers: list
    prediction: Record

    def __str__(self) -> str:
        i, p = self.info, self.prediction
        lines = [f"input        {i.input_channels} x {i.input_height} x {i.input_width}",
                 f"answer       {i.output}, {i.answer_size} integers, unit {i.output_scale:.6g}, {i.rounding} rounding",
                 f"size         {i.weights / 1e6:.4g} M weights, {i.multiplications / 1e6:.4g} M multiplications a sample",
                 f"model id     {i.model_id}",
                 f"private run  {p.samples} samples: {format_bytes(p.bytes_to_server + p.bytes_to_client)} both ways, "
                 f"{p.rounds} one-way delays, processor {format_seconds(p.server_seconds)} at the server, "
                 f"{format_seconds(p.client_seconds)} at the client (estimated)", "",
                 f"{'step':>4}  {'kind':<8} {'name':<28} {'shape':>16} {'ring':>6} {'values':>6} {'bits':>6} {'weights':>8}"]
        for n, d in enumerate(self.layers):
            shape = f"{d.channels}x{d.height}x{d.width}"
            ring = f"{d.ring_bits} raw" if d.raw else str(d.ring_bits)
            weights = f"{d.weight_bits:>6} {d.weights:>8}" if d.weight_bits else ""
            lines.append(f"{n:>4}  {d.kind:<8} {d.name[:28]:<28} {shape:>16} {ring:>6} {d.value_bits:>6} {weights}".rstrip())
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        names = ("kind", "name", "channels", "height", "width", "ring_bits", "value_bits", "weight_bits", "weights")
        head = "".join(f"<th>{n}</th>" for n in names)
        body = "".join("<tr>" + "".join(f"<td>{_escape(getattr(d, n))}</td>" for n in names) + "</tr>" for d in self.layers)
        return f"<table><tr>{head}</tr>{body}</table>"


def _escape(value) -> str:
    return str(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class Model:
    """A fixed-point model. compile() and load() make it. `report` says what came of compiling; None for a file."""

    def __init__(self, handle, report: Record | None = None):
        self._handle = handle
        self.report = report

    @property
    def info(self) -> Record:
        """fusion_model_info: input_channels, outputs, answer_size, output ("logits", "label", "top-k",
        "reverse-sigmoid" or "round"), rounding, softmax,
        weights, multiplications, model_id and so on."""
        return info_of(lib.fusion_model_describe, self._handle)

    @property
    def classes(self) -> list:
        """What the network's file calls its classes: numbers, or names (str)."""
        return classes_of(lib.fusion_model_class, self._handle)

    def save(self, path) -> None:
        """Writes a .fsn file, complete or not at all. FileError."""
        call(lib.fusion_model_save, self._handle, encode(path))

    def run(self, X: Samples, *, threads: int = 0, clip: bool = False, preprocess: Preprocess = None) -> Answers:
        """Runs the model in the clear, in fixed point: what a private job answers, bit for bit.

        X: raw samples [samples][...] as the model's preprocessing expects them; see Samples. threads: 0 is one for every
        core. clip: take samples beyond the model's input range, clipped to it, or of another scale than the calibration
        samples, with a FusionWarning; else they are refused. InputError, OutOfMemoryError."""
        taken = _arrays.samples(X, preprocess)
        self._check_range(taken, clip)
        a = taken.borrowed
        if a is None or len(a) <= RUN_ROWS:
            parts = [self._run(taken, threads)]
        else:
            parts = [self._run(_arrays.wrap(a[i:i + RUN_ROWS]), threads) for i in range(0, len(a), RUN_ROWS)]
        if len(parts) == 1:
            return Answers(self, parts[0])
        return Answers(self, _arrays.wrap(np.concatenate([to_numpy(p.handle) for p in parts])))

    def _run(self, taken: _arrays.Array, threads: int) -> _arrays.Array:
        out = ffi.new("fusion_array **")
        call(lib.fusion_model_run, self._handle, taken.handle, threads, out)
        return _arrays.Array(ffi.gc(out[0], lib.fusion_array_free))

    def _check_range(self, taken: _arrays.Array, clip: bool) -> None:
        check = result("fusion_input_check")
        call(lib.fusion_model_check_input, self._handle, taken.handle, check)
        text = ffi.string(check.text).decode()
        if check.refused and not clip:
            raise InputError(f"{text}; clip=True {'clips them' if check.samples else 'takes them as they are'}")
        if text:
            warnings.warn(text + (": clipped" if check.samples else ""), FusionWarning, stacklevel=3)

    def run_float(self, onnx, X: Samples, *, preprocess: Preprocess = None) -> np.ndarray:
        """The float network of the ONNX file on the same raw samples: float32 [samples][outputs], the reference that fixed
        point is judged by. FileError, InputError, ModelError."""
        taken, out = _arrays.samples(X, preprocess), ffi.new("fusion_array **")
        call(lib.fusion_model_run_float, self._handle, encode(onnx), taken.handle, out)
        return to_numpy(ffi.gc(out[0], lib.fusion_array_free))

    def predict_cost(self, samples: int, *, shard: int = 0, engine: str | None = None) -> Record:
        """What a private run of `samples` samples over one connection costs, `shard` at once (0: all): fusion_prediction,
        with bytes_to_server, bytes_to_client, messages, rounds (one-way delays), server_memory, client_memory (bytes),
        server_seconds, client_seconds (of one core, estimated). UsageError, ModelError."""
        out = result("fusion_prediction")
        call(lib.fusion_model_predict, self._handle, ffi.NULL if engine is None else encode(engine), samples, shard, out)
        return Record(values(out))

    def inspect(self, samples: int = 128, *, engine: str | None = None) -> Inspection:
        """The model layer by layer, and what a private run of `samples` samples costs. UsageError, ModelError."""
        layers, layer = [], result("fusion_layer")
        while lib.fusion_model_layer(self._handle, len(layers), layer):
            layers.append(Record(values(layer)))
        return Inspection({"info": self.info, "layers": layers, "prediction": self.predict_cost(samples, engine=engine)})

    def __repr__(self) -> str:
        i = self.info
        return (f"<Model {i.input_channels}x{i.input_height}x{i.input_width} to {i.outputs} outputs, "
                f"{i.weights} weights, id {i.model_id[:16]}>")


def load(path) -> Model:
    """A .fsn file. FileError; ModelError when it is none, of an unknown version, truncated or altered."""
    return Model(make(lib.fusion_model_load, "fusion_model", lib.fusion_model_free, encode(path)))


def _moments(mean, std):
    """Both as lists of one length; a missing one is 0 or 1."""
    mean, std = (None if m is None else np.atleast_1d(np.asarray(m, np.float64)) for m in (mean, std))
    if mean is None and std is None:
        return [], []
    mean = np.zeros_like(std) if mean is None else mean
    std = np.ones_like(mean) if std is None else std
    if mean.shape != std.shape:
        raise UsageError(f"mean has {mean.size} numbers and std {std.size}; give equally many")
    return mean.tolist(), std.tolist()


def _defence_settings(mode: str) -> dict:
    """The settings of a mode, with its numbers where it has any."""
    found = DEFENCE.fullmatch(mode)
    if not found:
        raise UsageError(f"defence: '{mode}' is not allowed; give logits, label, top-K, reverse-sigmoid,BETA,GAMMA or round,DIGITS")
    kind = found["kind"] or ("top-k" if mode.startswith("top-") else mode.partition(",")[0])
    taken = {"output": OUTPUTS[kind], "top_k": found["k"] or found["best"], "digits": found["digits"]}
    taken = {name: value if name == "output" else int(value) for name, value in taken.items() if value is not None}
    if found["beta"]:
        try:
            taken |= {"beta": float(found["beta"]), "gamma": float(found["gamma"])}
        except ValueError:
            raise UsageError(f"defence: '{mode}' has numbers that are none") from None
    return taken


def _settings_of(output: str, bits, rounding: str, given: dict) -> dict:
    taken = {**given, **_defence_settings(output)}
    if rounding not in ROUNDINGS:
        raise UsageError(f"rounding: '{rounding}' is not allowed; give exact or fast")
    taken["rounding"] = ROUNDINGS[rounding]
    if bits is not None:
        taken["weight_bits"], taken["activation_bits"] = bits
    return taken


def _network_file(network, folder: str) -> str:
    """A path of the network as ONNX."""
    if is_path(network):
        return os.fspath(network)
    if hasattr(network, "predict") and hasattr(network, "get_params"):
        from fusion._export import export_onnx
        network = export_onnx(network)
    if hasattr(network, "SerializeToString"):
        network = network.SerializeToString()
    if not isinstance(network, (bytes, bytearray)):
        raise UsageError(f"network: give an ONNX file, its bytes, a scikit-learn estimator, not {type(network).__name__}")
    path = os.path.join(folder, "network.onnx")
    with open(path, "wb") as f:
        f.write(network)
    return path


def compile(network: Any, calibration: Samples, labels=None, *, defence: str | None = None, output: str = "logits", bits: Sequence[int] | None = None,
            rounding: str = "exact", input_scale: float = 1, mean=None, std=None, channels_last: bool = False,
            reverse_channels: bool = False, preprocess: Preprocess = None, **settings) -> Model:
    """Compiles a network to fixed point, with widths chosen from what it does on the calibration samples.

    network: an ONNX file ("FILE", or "FILE:TENSOR" to end at a tensor), its bytes, an onnx.ModelProto, or a scikit-learn
    estimator that export_onnx() takes. calibration: raw samples [samples][...], a few hundred. labels: of these, to measure
    accuracies.
    defence: what an answer is, computed before the client sees anything: "logits" (the default), "label", "top-K" such as
    "top-3", "reverse-sigmoid,BETA,GAMMA" or "round,DIGITS" (see fusion-compile(1)). output: its old name. bits: (weights 2 to 16, activations 4 to 16); None searches them.
    rounding: "exact" or "fast". Raw samples become (raw * input_scale - mean[c]) / std[c]; channels_last: they are
    [height][width][channels]. preprocess: for calibration by pictures. Other settings are those of fusion_compile_settings:
    accuracy_loss, agreement, overflow, best_effort, threads, engine, salt and so on.

    The model's `report` has the figures. Warns with FusionWarning when the samples look odd. FileError, UsageError,
    InputError, ModelError, UnsupportedError; UnreachableError when no widths keep the limits (see best_effort). Ctrl-C
    takes effect when the compiler has ended."""
    if defence is not None and output != "logits":
        raise UsageError("output is the old name of defence; give one of them")
    taken = _settings_of(defence or output, bits, rounding, settings)
    c, keep = new("fusion_compile_settings", lib.fusion_compile_init, taken, "compile()")
    means, deviations = _moments(mean, std)
    mean_list, std_list = ffi.new("double[]", means), ffi.new("double[]", deviations)
    keep.append(fill(ffi.addressof(c, "preprocess"), {
        "channels_last": channels_last, "reverse_channels": reverse_channels, "scale": input_scale, "count": len(means),
        "mean": mean_list, "deviation": std_list}, "compile()"))
    samples = _arrays.samples(calibration, preprocess, "calibration")
    given = None if labels is None else _arrays.labels(labels)
    report = result("fusion_compile_report")
    with tempfile.TemporaryDirectory(prefix="fusion-") as folder:
        handle = make(lib.fusion_model_compile, "fusion_model", lib.fusion_model_free,
                      encode(_network_file(network, folder)), samples.handle, given.handle if given else ffi.NULL, c,
                      report)
    said = Record(values(report))
    for text in (said.note, said.warning):
        if text:
            warnings.warn(text, FusionWarning, stacklevel=2)
    return Model(handle, said)
