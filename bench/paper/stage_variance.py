"""Fig. 5: how far the accuracy on T public samples lies from the true one."""
import numpy as np

import paper_figures
import paper_networks

NAME, TITLE = "variance", "Fig. 5: the accuracy of T public samples"
SETS = ["mnist", "pneumonia", "tcga", "gse2034", "skin", "speech", "digits", "breast"]
GROUPS = 50
SIZES = [*range(80, 125, 5), 150, 200, 300, 400, 500, 700, 1000]


def one(c, name, data):
    network = paper_networks.network(c, name, data)
    right = paper_networks.answers(network.model, data.test).labels == data.test_labels
    generator = np.random.default_rng(7)
    p, n, points = float(right.mean()), len(right), []
    for size in SIZES:
        if size > n:
            break
        disjoint = size * GROUPS <= n
        order = generator.permutation(n)
        groups = [order[g * size:(g + 1) * size] if disjoint else generator.permutation(n)[:size] for g in range(GROUPS)]
        accuracy = np.array([right[g].mean() for g in groups])
        points.append({"T": size, "variance": float(((accuracy - p) ** 2).mean()), "disjoint": disjoint,
                       "law": p * (1 - p) / size * (1 if disjoint else (n - size) / max(1, n - 1))})
    return {"title": data.title, "accuracy": p, "samples": n, "points": points}


def measure(c):
    rows = [c.cell(name, lambda: one(c, name, data)) for name, data in paper_networks.all_of(c, SETS)]
    power = [{"promise": a, "reject": b, **{k: v for k, v in vars(c.fusion.power(a, b, 0.01)).items() if isinstance(v, (int, float))}}
             for a, b in ((0.98, 0.90), (0.95, 0.85), (0.90, 0.80))]
    return {"sets": rows, "power": power}


def draw(found, folder):
    sets = [s for s in found["sets"] if s["points"] and 0 < s["accuracy"] < 1]
    figure, axes = paper_figures.grid(len(sets), "variance of the accuracy", "public samples T")
    for axis, s in zip(axes, sets):
        t = [p["T"] for p in s["points"]]
        for disjoint, marker, label in ((True, "o", "measured, groups apart"), (False, "s", "measured, groups overlap")):
            chosen = [p for p in s["points"] if p["disjoint"] == disjoint]
            if chosen:
                axis.plot([p["T"] for p in chosen], [p["variance"] for p in chosen], marker, ms=4, label=label,
                          color=paper_figures.COLOURS[0 if disjoint else 1])
        axis.plot(t, [p["law"] for p in s["points"]], "-", color="0.4", lw=1.2, label="binomial law")
        axis.axvline(100, color="0.8", lw=1, zorder=0)
        axis.set_yscale("log")
        axis.set_title(f"{s['title']}: {100 * s['accuracy']:.1f} % right", fontsize=9)
    handles = {label: h for a in axes for h, label in zip(*a.get_legend_handles_labels())}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncol=3, frameon=False, fontsize=8)
    return [paper_figures.save(figure, folder, "paper-variance.svg", "Variance of the accuracy on T public samples, for each data set")]


def page(found):
    lines = [f"{GROUPS} groups of T test samples of each set; the variance about the accuracy on the whole test set, and what the binomial law says,",
             "p (1 - p) / T (less where the groups are a large part of a small set). The line marks T = 100.", ""]
    small = [s["title"] for s in found["sets"] if not s["points"]]
    if small:
        lines += [f"Too few test samples for 80: {', '.join(small)}.", ""]
    certain = [s["title"] for s in found["sets"] if s["points"] and s["accuracy"] == 1]
    if certain:
        lines += [f"No picture, as all test samples are right and every variance is 0: {', '.join(certain)}.", ""]
    ratios = [p["variance"] / p["law"] for s in found["sets"] for p in s["points"] if p["law"] > 0 and p["T"] <= 120]
    if ratios:
        lines += [f"Over all sets and T from 80 to 120 the measured variance is {np.median(ratios):.2f} times the law's in the median, from "
                  f"{min(ratios):.2f} to {max(ratios):.2f}. With {GROUPS} groups such ratios have a deviation of {np.sqrt(2 / GROUPS):.2f} by chance alone.", ""]
    lines += ["What `fusion plan` recommends, for both errors at most 1 %:", "", "| promised | to be rejected | public samples | accept from |", "|--:|--:|--:|--:|"]
    for r in found["power"]:
        lines.append(f"| {100 * r['promise']:.0f} % | {100 * r['reject']:.0f} % | {r['public_samples']} | {100 * r['min_accuracy']:.1f} % |")
    return lines
