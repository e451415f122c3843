"""fusion: private inference that a cheating server cannot spoil.

    model = fusion.compile("mlp.onnx", calibration)       # a network becomes a fixed-point model
    with fusion.Server(model, ...) as server: ...          # who has it serves it
    result = fusion.Client("server:7700", ca="ca.pem").predict(X, public=(P, L))
    print(result.verdict); result.labels

Each failure is an exception, a subclass of FusionError, with one line of text. docs/python.md shows more."""
from fusion import _errors
from fusion._client import Client, Result
from fusion._errors import *  # noqa: F401,F403
from fusion._export import export_onnx
from fusion._model import Answers, Inspection, Model, compile, load
from fusion._native import ffi as _ffi, lib as _lib
from fusion._plan import Plan, calibrate, engines, plan, power
from fusion._receipts import Receipt, keygen, verify_receipt
from fusion._server import Server
from fusion._verdict import Verdict

__version__ = _ffi.string(_lib.fusion_version()).decode()
__all__ = ["Answers", "Client", "FusionClassifier", "Inspection", "Model", "Plan", "Receipt", "Result", "Server", "Verdict",
           "calibrate", "compile", "engines", "export_onnx", "keygen", "load", "plan", "power", "verify_receipt", *_errors.__all__]


def __getattr__(name):
    if name == "FusionClassifier":  # needs scikit-learn, which the rest does not
        from fusion._classifier import FusionClassifier
        return FusionClassifier
    raise AttributeError(f"module 'fusion' has no attribute '{name}'")
