#!/usr/bin/env python3
"""Exports the usual ImageNet networks to ONNX, ready for `fusion compile`, with calibration images if given.

The networks come from torchvision where it is installed (python3-torchvision), else from the short definitions below, which
have the same layers. Weights: a state dict of torchvision's names (--weights, one network, torchvision only), else
random from a seed, with batch normalisation measured on the images so that values keep a sensible range. A random
network's labels mean nothing, but how far fixed point follows float, and what a private run costs, it shows.

usage: imagenet.py [--out FOLDER] [--images images.npy] [--seed N] [--weights FILE] NETWORK...
NETWORK: resnet50 squeezenet1_1 mobilenet_v2 vgg11 densenet121 resnet32_cifar. images.npy: uint8 [n, 224, 224, 3] (for
resnet32_cifar [n, 32, 32, 3]), RGB."""
import argparse
import importlib.util
import sys
from pathlib import Path

import common  # first: it finds a Python that has the others

import numpy as np
import torch
from torch import nn

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
BATCH = 8


def conv_bn(inputs, outputs, kernel, stride=1, groups=1, act=nn.ReLU):
    layers = [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(outputs)]
    return nn.Sequential(*layers, *([act()] if act else []))


class Residual(nn.Module):
    def __init__(self, body, shortcut=None, act=None):
        super().__init__()
        self.body, self.shortcut, self.act = body, shortcut or nn.Identity(), act or nn.Identity()

    def forward(self, x):
        return self.act(self.body(x) + self.shortcut(x))


class Join(nn.Module):
    """Concatenates what its parts make of one input."""

    def __init__(self, *parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, x):
        return torch.cat([part(x) for part in self.parts], 1)


def pool(kernel=3, stride=2, padding=1, ceil=False):
    return nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)


def head(*layers):
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), *layers]


def resnet50():
    layers, width = [conv_bn(3, 64, 7, 2), pool()], 64
    for stage, blocks in enumerate([3, 4, 6, 3]):
        inner = 64 << stage
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            body = nn.Sequential(conv_bn(width, inner, 1), conv_bn(inner, inner, 3, stride),
                                 conv_bn(inner, 4 * inner, 1, act=None))
            shortcut = None if block else conv_bn(width, 4 * inner, 1, stride, act=None)
            layers.append(Residual(body, shortcut, nn.ReLU()))
            width = 4 * inner
    return nn.Sequential(*layers, *head(nn.Linear(width, 1000)))


def squeezenet1_1():
    def fire(inputs, squeeze, expand):
        def conv(*shape, **more):
            return nn.Sequential(nn.Conv2d(*shape, **more), nn.ReLU())
        return nn.Sequential(conv(inputs, squeeze, 1),
                             Join(conv(squeeze, expand, 1), conv(squeeze, expand, 3, padding=1)))
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(padding=0, ceil=True), fire(64, 16, 64), fire(128, 16, 64),
        pool(padding=0, ceil=True), fire(128, 32, 128), fire(256, 32, 128), pool(padding=0, ceil=True),
        fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), fire(512, 64, 256), nn.Dropout(),
        nn.Conv2d(512, 1000, 1), nn.ReLU(), *head())


def mobilenet_v2():
    layers, width = [conv_bn(3, 32, 3, 2, act=nn.ReLU6)], 32
    for expand, outputs, blocks, first in [(1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1),
                                           (6, 160, 3, 2), (6, 320, 1, 1)]:
        for block in range(blocks):
            stride, inner = 1 if block else first, width * expand
            body = [] if expand == 1 else [conv_bn(width, inner, 1, act=nn.ReLU6)]
            body += [conv_bn(inner, inner, 3, stride, inner, nn.ReLU6), conv_bn(inner, outputs, 1, act=None)]
            body = nn.Sequential(*body)
            layers.append(Residual(body) if stride == 1 and width == outputs else body)
            width = outputs
    layers.append(conv_bn(width, 1280, 1, act=nn.ReLU6))
    return nn.Sequential(*layers, *head(nn.Dropout(), nn.Linear(1280, 1000)))


def vgg11():
    layers, width = [], 3
    for outputs in [64, 0, 128, 0, 256, 256, 0, 512, 512, 0, 512, 512, 0]:
        layers += [nn.Conv2d(width, outputs, 3, padding=1), nn.ReLU()] if outputs else [pool(2, 2, 0)]
        width = outputs or width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(512 * 49, 4096), nn.ReLU(), nn.Dropout(),
                         nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 1000))


def densenet121():
    def before(inputs, *layers):
        return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), *layers)
    layers, width = [conv_bn(3, 64, 7, 2), pool()], 64
    for stage, count in enumerate([6, 12, 24, 16]):
        for _ in range(count):
            grown = nn.Sequential(before(width, nn.Conv2d(width, 128, 1, bias=False)),
                                  before(128, nn.Conv2d(128, 32, 3, padding=1, bias=False)))
            layers.append(Join(nn.Identity(), grown))
            width += 32
        if stage < 3:
            layers.append(before(width, nn.Conv2d(width, width // 2, 1, bias=False), nn.AvgPool2d(2)))
            width //= 2
    return nn.Sequential(*layers, before(width), *head(nn.Linear(width, 1000)))


class Subsample(nn.Conv2d):
    """Every second pixel, new channels zero: the shortcut without parameters, as the convolution that it equals."""

    def __init__(self, inputs, outputs):
        super().__init__(inputs, outputs, 1, 2, bias=False)
        self.place()

    def place(self):
        with torch.no_grad():
            self.weight.zero_()
            before = (self.out_channels - self.in_channels) // 2
            for i in range(self.in_channels):
                self.weight[before + i, i] = 1


def resnet32_cifar():
    layers, width = [conv_bn(3, 16, 3)], 16
    for outputs in [16, 32, 64]:
        for block in range(5):
            stride = 2 if outputs != width else 1
            body = nn.Sequential(conv_bn(width, outputs, 3, stride), conv_bn(outputs, outputs, 3, act=None))
            layers.append(Residual(body, Subsample(width, outputs) if stride == 2 else None, nn.ReLU()))
            width = outputs
    return nn.Sequential(*layers, *head(nn.Linear(64, 10)))


NETWORKS = {f.__name__: f for f in (resnet50, squeezenet1_1, mobilenet_v2, vgg11, densenet121, resnet32_cifar)}
SIDES = {"resnet32_cifar": 32}


def build(name, weights):
    if name != "resnet32_cifar" and importlib.util.find_spec("torchvision"):
        import torchvision
        model = getattr(torchvision.models, name)()
        if weights:
            model.load_state_dict(torch.load(weights, map_location="cpu"))
            return model.eval()
    elif weights:
        sys.exit("imagenet.py: --weights needs torchvision (python3-torchvision), whose names the file has")
    else:
        model = NETWORKS[name]()
    return model


def settle(model, images):
    """Random weights that keep the size of what passes, and batch normalisation as after training on the images."""
    for part in model.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.zeros_(part.bias)
        if isinstance(part, Subsample):
            part.place()
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None
    model.train()
    with torch.no_grad():
        for first in range(0, len(images), BATCH):
            model(images[first:first + BATCH])
    return model.eval()


def gain(model, images, noise=1e-3):
    """By how much more than the images, relatively, the logits change: 1 to 3 in trained networks. A deep random one under batch
    normalisation, as MobileNetV2, may drive inputs that are near each other far apart."""
    shaken = images + noise * images.pow(2).mean().sqrt() * torch.randn_like(images)
    with torch.no_grad():
        before, after = (torch.cat([model(x) for x in rows.split(BATCH)]) for rows in (images, shaken))
    spread = (before - before.mean(1, keepdim=True)).pow(2).mean()
    return float(((after - before).pow(2).mean() / spread).sqrt() / noise)


def load_images(path, count, side=224):
    raw = np.load(path)[:count] if path else np.random.randint(0, 256, (count, side, side, 3), dtype=np.uint8)
    if raw.shape[1:] != (side, side, 3):
        sys.exit(f"imagenet.py: '{path}': images of {raw.shape[1:]}, this network takes {side}x{side}x3")
    real = (raw.astype(np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    return torch.from_numpy(np.ascontiguousarray(real.transpose(0, 3, 1, 2)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("networks", nargs="+", choices=sorted(NETWORKS))
    parser.add_argument("--out", default="imagenet-out", type=Path)
    parser.add_argument("--images", type=Path, help="uint8 [n, side, side, 3]; random ones if not given")
    parser.add_argument("--weights", type=Path, help="state dict of torchvision's names, for one network")
    parser.add_argument("--seed", default=1, type=int)
    parser.add_argument("--threads", default=1, type=int)
    args = parser.parse_args()
    if args.weights and len(args.networks) > 1:
        parser.error("--weights fits one network")
    for name in args.networks:
        common.set_seed(args.seed, args.threads)
        images = load_images(args.images, 2 * BATCH, SIDES.get(name, 224))
        model = build(name, args.weights)
        if not args.weights:
            settle(model, images)
        common.export(model, images.numpy(), args.out / f"{name}.onnx")
        print(f"{args.out / name}.onnx: {sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters, "
              f"0.1 % of noise in the images is {0.1 * gain(model, images):.2g} % in the logits", flush=True)


if __name__ == "__main__":
    main()
