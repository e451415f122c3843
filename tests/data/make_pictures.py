#!/usr/bin/env python3
"""Writes the pictures of tests/data/pictures and, beside each, what Pillow makes of it (expected.npz). Needs Pillow and
numpy; run by hand when a case is added. The pictures are drawn here, from a seed.

usage: make_pictures.py FOLDER"""
import sys
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 45, 31


def drawing():
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    smooth = np.stack([127 + 100 * np.sin(x / 5 + y / 9), 255 * x / WIDTH, 255 * ((x - 20) ** 2 + (y - 15) ** 2 < 120)], -1)
    noise = np.random.default_rng(7).normal(0, 12, smooth.shape)
    return Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8))


def crop(image, height, width):
    """torchvision's CenterCrop."""
    top, left = int(round((image.height - height) / 2)), int(round((image.width - width) / 2))
    return image.crop((left, top, left + width, top + height))


def resize_shorter(image, side, resample):
    """torchvision's Resize."""
    w, h = image.size
    return image.resize((side, int(side * h / w)) if w <= h else (int(side * w / h), side), resample)


def main():
    folder = Path(sys.argv[1])
    rgb = drawing()
    grey = rgb.convert("L")
    alpha = rgb.copy()
    alpha.putalpha(grey)
    files = {
        "rgb.png": (rgb, {}), "grey.png": (grey, {}), "alpha.png": (alpha, {}), "bits.png": (grey.convert("1"), {}),
        "palette.png": (rgb.quantize(16), {}), "palette_clear.png": (rgb.quantize(16), {"transparency": 3}),
        "grey_alpha.png": (alpha.convert("LA"), {}),
        "rgb.jpg": (rgb, {"quality": 90}), "grey.jpg": (grey, {"quality": 90}),
        "progressive.jpeg": (rgb, {"quality": 80, "progressive": True}), "ink.jpg": (rgb.convert("CMYK"), {"quality": 90}),
    }
    expected = {}
    for name, (image, options) in files.items():
        image.save(folder / name, **options)
        with Image.open(folder / name) as loaded:
            expected[name] = np.asarray(loaded.convert("RGB"))
            expected[name + "_in_grey"] = np.asarray(loaded.convert("L"))
    with Image.open(folder / "rgb.jpg") as loaded:
        photo = loaded.convert("RGB")
    for label, resample in [("bilinear", Image.BILINEAR), ("bicubic", Image.BICUBIC)]:
        expected[f"shorter_20_{label}"] = np.asarray(resize_shorter(photo, 20, resample))
        expected[f"shorter_20_crop_17_{label}"] = np.asarray(crop(resize_shorter(photo, 20, resample), 17, 17))
        expected[f"to_50x13_{label}"] = np.asarray(photo.resize((13, 50), resample))
        expected[f"to_90x100_{label}"] = np.asarray(photo.resize((100, 90), resample))
    np.savez_compressed(folder / "expected.npz", **expected)


main()
