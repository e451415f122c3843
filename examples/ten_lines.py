#!/usr/bin/env python3
"""Trains a scikit-learn network, exports it, serves it, and asks it privately. Needs the Python package (docs/python.md)."""
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier
import fusion
X, y = load_digits(return_X_y=True)
network = MLPClassifier((64,), max_iter=500, random_state=0).fit(X[:1000], y[:1000])
fusion.export_onnx(network, "mlp.onnx")
model = fusion.compile("mlp.onnx", X[:1000])
with fusion.Server(model, plaintext=True) as server:
    client = fusion.Client(server.address, plaintext=True, min_accuracy=0.85)
    print(client.predict(X[1500:], public=(X[1000:1500], y[1000:1500])).verdict)
