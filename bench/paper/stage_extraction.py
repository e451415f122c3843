"""Figs. 7 and 8: stealing the model by its answers."""
import sys
from pathlib import Path

import numpy as np
from matplotlib.ticker import MaxNLocator

import paper_figures
import paper_networks

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/extraction"))

import cryptanalytic  # noqa: E402
import oracle  # noqa: E402
import substitute  # noqa: E402

NAME, TITLE = "extraction", "Figs. 7 and 8: model extraction"
FORMS = ["probabilities", "rounded", "reverse-sigmoid", "label"]
SHOWN = {"probabilities": "probabilities", "rounded": "rounded to 0.1", "reverse-sigmoid": "reverse sigmoid", "label": "label only"}
HIDDEN, INPUTS = 16, 20
BITS = [44, 40, 36, 32, 28, 24, 20, 16, 12]


def attack_one(c, name, data, form):
    """Substitutes trained on answers of a form, by number of queries."""
    network = paper_networks.network(c, name, data, oracle.FORMS[form])
    seeds = data.test[:100]
    held = slice(100, 1100)
    answers = paper_networks.answers(network.model, data.test[held]).labels
    ask, points = oracle.Oracle(oracle.in_the_clear(network.model), form, data.classes), []

    def checkpoint(stolen, queries):
        guessed = substitute.labels_of(stolen, data.test[held])
        points.append({"queries": queries, "accuracy": float((guessed == data.test_labels[held]).mean()),
                       "agreement": float((guessed == answers).mean())})

    rounds = 2 if c.quick else 6
    substitute.steal(ask, seeds, data.classes, rounds=rounds, last_epochs=20 if c.quick else 100, checkpoint=checkpoint)
    return points


def defended(c, name, data, form):
    """Accuracy of the server's answers in a form, and how much the largest says."""
    network = paper_networks.network(c, name, data, oracle.FORMS[form])
    shown = oracle.rows_of(paper_networks.answers(network.model, data.test[100:1100]), form, data.classes)
    return {"accuracy": float((shown.argmax(axis=1) == data.test_labels[100:1100]).mean()), "largest": float(shown.max(axis=1).mean())}


def private_point(c, data, network):
    """The first answers of the attack through a real job: the same as in the clear?"""
    seeds = data.test[:16 if c.quick else 100]
    server = c.fusion.Server(network.model, plaintext=True).start()
    client = c.fusion.Client(server.address, plaintext=True, min_accuracy=0.85)
    public = data.test[1100:1600] if len(data.test) > 1600 else data.test[300:600]
    labels = data.test_labels[1100:1600] if len(data.test) > 1600 else data.test_labels[300:600]
    private = oracle.through_jobs(client, (public, labels))(seeds).answers
    server.stop()
    return {"queries": len(seeds), "equal": bool((private == oracle.in_the_clear(network.model)(seeds).answers).all())}


def attack_two(c):
    """The cryptanalytic attack on exact answers, on rounded ones, and on a compiled network."""
    inputs, hidden = (8, 4) if c.quick else (INPUTS, HIDDEN)
    network = cryptanalytic.random_network(inputs, hidden, 3, seed=1)
    exact = lambda x: cryptanalytic.forward(network, x)  # noqa: E731
    rows = [{"bits": None, **cryptanalytic.report("exact", network, exact)}]
    for bits in BITS[::4] if c.quick else BITS:
        unit = 2.0 ** -bits
        rows.append({"bits": bits, **cryptanalytic.report(f"{bits}", network, lambda x: np.round(exact(x) / unit) * unit, **cryptanalytic.adapted(unit))})
    calibration = np.random.default_rng(5).uniform(-1, 1, (500, inputs)).astype(np.float32)
    model = c.fusion.compile(cryptanalytic.onnx_of(network), calibration)
    clear = oracle.in_the_clear(model)
    ask = lambda x: clear(x).answers  # noqa: E731
    fixed = []
    for bits in (14, 10, 6, 2):  # the best of several guesses at what the answers' steps are
        fixed.append(cryptanalytic.report("fixed point", network, lambda x: ask(np.clip(x, -1, 1).astype(np.float32)),
                                          **cryptanalytic.adapted(2.0 ** -bits)))
    best = max(fixed, key=lambda r: (r["found"], -(r["error"] or 9e9)))
    server = c.fusion.Server(model, plaintext=True).start()
    client = c.fusion.Client(server.address, plaintext=True, min_accuracy=1.0)
    public = np.random.default_rng(8).uniform(-1, 1, (100, inputs)).astype(np.float32)
    labels = model.run(public, clip=True).labels
    line = np.linspace(-1, 1, 64)[:, None] * np.ones((1, inputs), np.float32) * 0.5
    private = oracle.through_jobs(client, (public, labels))(line.astype(np.float32)).answers
    server.stop()
    step = np.unique(np.abs(np.diff(np.sort(np.unique(ask(np.random.default_rng(2).uniform(-1, 1, (4000, inputs)).astype(np.float32))[:, 0])))))
    return {"inputs": inputs, "hidden": hidden, "rows": rows, "fixed": best, "step": float(step[step > 1e-12].min()),
            "private": {"queries": len(line), "equal": bool((private == ask(line.astype(np.float32))).all())}}


def measure(c):
    found = {"sets": []}
    for name, data in paper_networks.all_of(c, ["digits"] if c.quick else ["mnist"]):
        network = paper_networks.network(c, name, data)
        forms = {f: c.cell(f"{name} {f}", lambda: attack_one(c, name, data, f)) for f in FORMS}
        found["sets"].append({"title": data.title, "forms": forms, "server": {f: defended(c, name, data, f) for f in FORMS},
                              "private": c.cell(f"{name} private", lambda: private_point(c, data, network))})
    return {**found, "two": c.cell("cryptanalytic", lambda: attack_two(c))}


def draw(found, folder):
    drawn = []
    for s in found["sets"]:
        figure, axes = paper_figures.pyplot.subplots(1, 2, figsize=(7.5, 3.0), sharey=True)
        for axis, what in zip(axes, ("accuracy", "agreement")):
            for k, (form, points) in enumerate(s["forms"].items()):
                axis.plot([p["queries"] for p in points], [100 * p[what] for p in points], "o-", ms=3.5, lw=1.3, color=paper_figures.COLOURS[k],
                          label=SHOWN[form])
            if what == "accuracy":
                axis.axhline(100 * s["server"]["probabilities"]["accuracy"], color="0.4", lw=1, ls="--", label="the server's model")
            axis.set_title("right on test samples" if what == "accuracy" else "same label as the server's model", fontsize=9)
            axis.set_xlabel("queries")
        axes[0].set_ylabel("stolen model, %")
        figure.subplots_adjust(left=0.09, right=0.98, top=0.9, bottom=0.33, wspace=0.08)
        axes[0].legend(*axes[0].get_legend_handles_labels(), loc="upper center", bbox_to_anchor=(1.03, -0.22), ncol=3, fontsize=8)
        drawn.append(paper_figures.save(figure, folder, "paper-substitute.svg", "Accuracy and agreement of stolen models by number of queries"))
    two = found["two"]
    rounded = [r for r in two["rows"] if r["bits"] is not None]
    figure, axis = paper_figures.pyplot.subplots(figsize=(5.6, 2.6))
    axis.plot([r["bits"] for r in rounded], [r["found"] for r in rounded], "o-", color=paper_figures.COLOURS[0], label="answers rounded to 2^-bits")
    served = -np.log2(two["step"])
    axis.plot([served], [two["fixed"]["found"]], "D", ms=7, color=paper_figures.COLOURS[1], label="fusion's fixed point", clip_on=False, zorder=5)
    axis.set_xlabel("bits behind the binary point of an answer")
    axis.set_ylabel(f"units found, of {two['hidden']}")
    axis.set_ylim(-0.5, two["hidden"] + 0.8)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.legend(fontsize=8, loc="center right")
    figure.subplots_adjust(left=0.11, right=0.98, top=0.95, bottom=0.19)
    drawn.append(paper_figures.save(figure, folder, "paper-cryptanalytic.svg", "Hidden units found by the cryptanalytic attack, by precision of the answers"))
    return drawn


def page(found):
    lines = []
    for s in found["sets"]:
        lines += [f"**Attack 1** ({s['title']}; 100 samples of the attacker's own; `examples/extraction/substitute.py`). The attacker asks in the clear what a job would answer, bit",
                  f"for bit; {s['private']['queries']} of the queries were asked through a real private job, whose answers were {'equal' if s['private']['equal'] else 'DIFFERENT'}. What a form of answers costs the honest client, and",
                  "what the attacker gets in the end:", "",
                  "| answers | the server's accuracy in this form | stolen: queries, accuracy, agreement |", "|---|--:|--:|"]
        for form, points in s["forms"].items():
            p = points[-1]
            lines.append(f"| {SHOWN[form]} | {100 * s['server'][form]['accuracy']:.1f} % | {p['queries']:,}, {100 * p['accuracy']:.1f} %, {100 * p['agreement']:.1f} % |")
        lines.append("")
    two = found["two"]
    exact, fixed = two["rows"][0], two["fixed"]
    error = "no function at all" if fixed["error"] is None else f"a function that is off by {fixed['error']:.1f} times the spread of the answers"
    lines += [f"**Attack 2** (a network {two['inputs']}-{two['hidden']}-3 with random weights; `examples/extraction/cryptanalytic.py`). On exact answers (64-bit floats) it finds {exact['found']} of {exact['units']}",
              f"units with {exact['queries']:,} queries, and a function that is off by {exact['error']:.1g} of the answers' spread at most. On the answers of the compiled network, whose smallest step is",
              f"2^{np.log2(two['step']):.1f}, it finds {fixed['found']}, with the best of four guesses at its thresholds, and {error}. "
              f"{two['private']['queries']} of these queries were asked through a private job: answers {'equal' if two['private']['equal'] else 'DIFFERENT'}.", ""]
    return lines
