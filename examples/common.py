"""What the example scripts share: training, measuring, exporting to ONNX, and the files that `fusion` reads.

Images are float32 in [0, 1], shaped [samples, channels, height, width]. Debian's PyTorch multiplies matrices with the system's BLAS.
The times that the scripts name are those with OpenBLAS (package libopenblas0-pthread); with the reference BLAS recurrent networks
and transformers train in five to ten times as much."""
import random
import sys
import time
from pathlib import Path

import interpreter

interpreter.need("numpy", "torch")

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402


class Square(nn.Module):
    """x * x: the activation that costs two parties a single multiplication."""

    def forward(self, x):
        return x * x


def set_seed(seed, threads):
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    torch.set_num_threads(threads)


def train(model, images, labels, epochs, rate=1e-3, batch=128, augment=None, clip=None):
    """Plain Adam with a cosine schedule."""
    images, labels = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    steps = epochs * ((len(images) + batch - 1) // batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.time()
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for rows in torch.randperm(len(images)).split(batch):
            x = images[rows]
            loss = nn.functional.cross_entropy(model(augment(x) if augment else x), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"  epoch {epoch + 1}/{epochs}: loss {total / len(images):.4f}, {time.time() - started:.0f} s", flush=True)
    return model.eval()


def mirror_and_shift(images, most):
    """A random mirror and a shift of up to `most` pixels, one for the whole batch."""
    if torch.rand(()) < 0.5:
        images = images.flip(3)
    down, right = torch.randint(-most, most + 1, (2,)).tolist()
    return torch.roll(images, (down, right), (2, 3))


def accuracy(model, images, labels):
    with torch.no_grad():
        parts = [model(x).argmax(1) for x in torch.from_numpy(images).split(1000)]
    return float((torch.cat(parts).numpy() == labels).mean())


def export(model, sample, path, opset=13):
    """Writes ONNX with a free batch axis."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    torch.onnx.export(model.eval(), torch.from_numpy(sample[:1]), str(path), opset_version=opset, input_names=["input"],
                      output_names=["logits"], dynamic_axes={"input": {0: "batch"}, "logits": {0: "batch"}})


def save_job(folder, calib, queries, query_labels, public, public_labels):
    """The files of one job. query_labels.npy is for looking at the result: `fusion` never needs it."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "calib.npy", np.ascontiguousarray(calib, dtype=np.float32))
    np.save(folder / "queries.npy", np.ascontiguousarray(queries, dtype=np.float32))
    np.save(folder / "query_labels.npy", query_labels.astype(np.int64))
    np.save(folder / "public.npy", np.ascontiguousarray(public, dtype=np.float32))
    np.save(folder / "public_labels.npy", public_labels.astype(np.int64))


def need_folder(path, what):
    if not Path(path).is_dir():
        sys.exit(f"{path}: is not there; give the folder with {what} as --data")
    return Path(path)
