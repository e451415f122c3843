"""What the tests share: certificates, models and servers, made once."""
import os
import subprocess

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

import fusion


@pytest.fixture(scope="session")
def digits():
    """X, y; rows 0 to 999 train, 1000 to 1499 are public, the rest are queries."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(1).permutation(len(y))
    return x[order], y[order]


@pytest.fixture(scope="session")
def mlp(digits):
    x, y = digits
    return MLPClassifier((32,), max_iter=300, random_state=1, tol=1e-3).fit(x[:1000], y[:1000])


@pytest.fixture(scope="session")
def model(mlp, digits):
    with pytest.warns(fusion.FusionWarning, match="never change"):
        return fusion.compile(mlp, digits[0][:500], bits=(8, 12))


@pytest.fixture(scope="session")
def server(model):
    with fusion.Server(model, plaintext=True, stop_grace_ms=100) as s:
        yield s


@pytest.fixture
def client(server):
    return fusion.Client(server.address, plaintext=True, min_accuracy=0.85)


@pytest.fixture
def public(digits):
    x, y = digits
    return x[1000:1500], y[1000:1500]


@pytest.fixture
def queries(digits):
    return digits[0][1500:1516]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory):
    """ca.pem, server.pem, server.key, client.pem, client.key"""
    folder = tmp_path_factory.mktemp("tls")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *curve, "-days", "2", "-subj", "/CN=authority", "-keyout", "ca.key", "-out", "ca.pem")
    for name, usage in (("server", "serverAuth"), ("client", "clientAuth")):
        openssl("req", *curve, "-subj", f"/CN={name}", "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / "ext").write_text(f"subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:FALSE\nextendedKeyUsage={usage}\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
                "-extfile", "ext", "-out", f"{name}.pem")
    return folder


@pytest.fixture(scope="session")
def command():
    """The built command `fusion`."""
    return os.environ["FUSION_BUILD"] + "/fusion"
