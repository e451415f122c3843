"""Fig. 6: a whole job on a quadratic network of 12 million weights."""
import time
import warnings

import numpy as np

import paper_figures
import paper_words

NAME, TITLE = "quadratic", "Fig. 6: 1845-2000-2000-2000-183 with squares"
SIZES = [1845, 2000, 2000, 2000, 183]
QUICK = [60, 64, 64, 64, 10]
QUERIES = 1845
# MP-SPDZ 3a0a7b1, LowGear, 64-bit prime, measured on an AMD Zen 3 on 28 November 2026: 36 s and 839 MB for a 1845 x 200 slice, scaled.
PEER = {"name": "MP-SPDZ, LowGear (scaled from a slice)", "seconds": 960.0, "bytes": 24e9}
PAPER = {"runtime": 48.06, "traffic": 30.90}  # times less than LevioSA


def onnx_of(sizes, seed=4):
    """Random weights, scaled so that the squares keep their size: what a run costs does not depend on them."""
    from onnx import TensorProto, helper, numpy_helper
    generator, nodes, given, name = np.random.default_rng(seed), [], [], "x"
    for k, (a, b) in enumerate(zip(sizes, sizes[1:])):
        weights = (generator.normal(size=(b, a)) / np.sqrt(a if k == 0 else 3 * a)).astype(np.float32)
        given += [numpy_helper.from_array(weights, f"w{k}"), numpy_helper.from_array(np.zeros(b, np.float32), f"b{k}")]
        last = k == len(sizes) - 2
        nodes.append(helper.make_node("Gemm", [name, f"w{k}", f"b{k}"], ["y" if last else f"u{k}"], transB=1))
        if not last:
            nodes.append(helper.make_node("Mul", [f"u{k}", f"u{k}"], [f"h{k}"]))
            name = f"h{k}"
    graph = helper.make_graph(nodes, "quadratic", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", sizes[0]])],
                              [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", sizes[-1]])], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    return model.SerializeToString()


def job(c):
    sizes, queries = (QUICK, 64) if c.quick else (SIZES, QUERIES)
    generator = np.random.default_rng(6)
    samples = lambda n: np.clip(generator.normal(size=(n, sizes[0])), -3, 3).astype(np.float32)  # noqa: E731
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = c.fusion.compile(onnx_of(sizes), samples(200), bits=(8, 10))
        x, public = samples(queries), samples(100)
        labels = model.run(public, clip=True).labels
        server = c.fusion.Server(model, plaintext=True).start()
        started = time.time()
        result = c.fusion.Client(server.address, plaintext=True, min_accuracy=1.0, workers=1).predict(x, public=(public, labels), clip=True)
        elapsed = time.time() - started
        server.stop()
        equal = bool((result.raw == model.run(x, clip=True).raw).all())
    v = result.verdict
    return {"sizes": sizes, "queries": queries, "samples": v.samples, "verdict": str(v.verdict), "equal": equal, "seconds": elapsed,
            "bytes": v.bytes_sent + v.bytes_received, "bits": v.soundness_bits}


def measure(c):
    return c.cell("job", lambda: job(c))


def draw(found, folder):
    if found["sizes"] != SIZES:
        return []
    ours = (found["seconds"] / found["queries"], found["bytes"] / found["queries"])
    figure, axes = paper_figures.pyplot.subplots(1, 2, figsize=(7.5, 2.3))
    for axis, value, peer, name, words in ((axes[0], ours[0], PEER["seconds"], "time", paper_words.seconds),
                                           (axes[1], ours[1], PEER["bytes"], "traffic", paper_words.size)):
        axis.barh(["MP-SPDZ,\nLowGear", "fusion"], [peer, value], color=[paper_figures.COLOURS[5], paper_figures.COLOURS[0]], height=0.6)
        axis.set_xscale("log")
        axis.set_xlim(value / 5, peer * 30)
        axis.set_title(f"{name} of a query", fontsize=9)
        axis.set_xlabel("logarithmic scale", fontsize=8)
        axis.grid(axis="y", visible=False)
        axis.set_axisbelow(True)
        axis.tick_params(axis="x", which="both", labelbottom=False, length=0)
        for y, v in enumerate((peer, value)):
            axis.text(v * 1.3, y, words(v), va="center", fontsize=9)
    figure.tight_layout()
    return [paper_figures.save(figure, folder, "paper-quadratic.svg", "Time and traffic of a query on the quadratic network, fusion and MP-SPDZ")]


def page(found):
    f = found
    lines = [f"{'-'.join(map(str, f['sizes']))}, R = {f['queries']:,}: one whole job of {f['samples']:,} samples over loopback, one connection. Verdict: {f['verdict']} "
             f"({f['bits']:.1f} bits); all answers {'equal' if f['equal'] else 'DIFFER from'} those of the plaintext run. "
             f"{paper_words.seconds(f['seconds'])} and {paper_words.size(f['bytes'])} in all.", ""]
    if f["sizes"] == SIZES:
        s, b = PEER["seconds"] / (f["seconds"] / f["queries"]), PEER["bytes"] / (f["bytes"] / f["queries"])
        lines += [f"The paper is {PAPER['runtime']} times faster than LevioSA here, with {PAPER['traffic']} times less traffic; LevioSA's code and absolute figures are not public. In its",
                  f"place stands a maliciously secure engine that can be run: {PEER['name']} takes 960 s and 24 GB a sample, {s:,.0f} times our time and {b:,.0f} times our",
                  "traffic a query. It is secure against both parties; ours against the server alone, with the accuracy checked.", ""]
    return lines
