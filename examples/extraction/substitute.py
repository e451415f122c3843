#!/usr/bin/env python3
"""Attack 1: a substitute for the server's model, trained on its answers (Papernot et al., "Practical black-box attacks against
machine learning", 2017).

From a few samples of his own the attacker trains a network on the answers, moves each sample a step along the sign of the gradient of
the substitute's loss, asks again, and so on; from the third round on a random part of the new samples. At last he trains on all.

steal() is the attack, for any oracle; bench/paper uses it. As a program: the digits of scikit-learn, no files needed; prints a line for each form of the answers."""
import argparse
import json
import sys
import warnings

import oracle as oracles  # first: it finds a Python that has the others

import numpy as np
import torch
from torch import nn


def small_network(inputs, classes, width=128):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, classes))


def fit(network, x, target, epochs, rate, momentum=0.9, batch=64):
    """Cross entropy against rows that may be soft. Rows of a defence may be negative: they are cut at 0, as a likelihood must be."""
    target = target.clamp(min=0)
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1e-6)
    optimizer = torch.optim.SGD(network.parameters(), lr=rate, momentum=momentum)
    network.train()
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            loss = -(target[rows] * torch.log_softmax(network(x[rows]), dim=1)).sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
    network.eval()


def augmented(network, x, target, step):
    """x + step * sign of the gradient of the loss at the label that the oracle gave."""
    x = x.clone().requires_grad_(True)
    nn.functional.cross_entropy(network(x), target.argmax(dim=1)).backward()
    return (x + step * x.grad.sign()).clamp(0, 1).detach()


def steal(ask, seeds, classes, rounds=6, most=400, step=0.1, epochs=20, last_epochs=100, seed=0, checkpoint=None):
    """The substitute and the number of queries. ask: float32 [n][inputs] in [0, 1] -> rows of probabilities [n][classes]. seeds: the
    attacker's own samples. most: new queries a round at most. checkpoint(network, queries) is called after a final training
    from each round's samples, where it is given."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    generator = np.random.default_rng(seed)
    x = torch.from_numpy(np.ascontiguousarray(seeds, dtype=np.float32))
    target = torch.from_numpy(ask(x.numpy()).astype(np.float32))

    def trained(how_long, rate):
        network = small_network(x.shape[1], classes)
        fit(network, x, target, how_long, rate)
        return network

    for round_number in range(rounds):
        network = trained(epochs, 0.1)
        if checkpoint:
            checkpoint(trained(last_epochs, 0.01), len(x))
        rows = generator.permutation(len(x))[:most]
        fresh = augmented(network, x[rows], target[rows], step)
        x = torch.cat([x, fresh])
        target = torch.cat([target, torch.from_numpy(ask(fresh.numpy()).astype(np.float32))])
    network = trained(last_epochs, 0.01)
    if checkpoint:
        checkpoint(network, len(x))
    return network, len(x)


def labels_of(network, x):
    with torch.no_grad():
        return network(torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32))).argmax(dim=1).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=100, help="the attacker's own samples")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()

    import fusion
    from sklearn.datasets import load_digits
    from sklearn.neural_network import MLPClassifier
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    network = MLPClassifier((64,), max_iter=500, random_state=0).fit(X[:1000], y[:1000])
    own, test, test_labels = X[1000:1000 + args.seeds], X[1400:], y[1400:]
    rows = []
    for form, defence in list(oracles.FORMS.items())[1:]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some pixels are always white
            victim = fusion.compile(network, X[:500], defence=defence)
        answers = victim.run(test).labels
        ask = oracles.Oracle(oracles.in_the_clear(victim), form, 10)
        stolen, queries = steal(ask, own, 10, rounds=args.rounds)
        guessed = labels_of(stolen, test)
        rows.append({"answers": form, "queries": queries, "accuracy": float((guessed == test_labels).mean()),
                     "agreement": float((guessed == answers).mean()), "server": float((answers == test_labels).mean())})
        if not args.json:
            print("{answers:>16}: {queries} queries, accuracy {accuracy:.3f}, agreement {agreement:.3f}; the server's own accuracy "
                  "{server:.3f}".format(**rows[-1]), flush=True)
    if args.json:
        json.dump({"attacks": rows}, sys.stdout)


if __name__ == "__main__":
    main()
