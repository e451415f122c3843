"""Table VI: ResNet50."""
import paper_context
import paper_words
import stage_engines

NAME, TITLE = "resnet", "Table VI: ResNet50"
SIZES = [(8, 8), (512, 5)]
PAPER = {(512, "lan"): 5.173 * 60, (512, "wan"): 8.678 * 60, (512, "bytes"): 10.117 * 2 ** 30, (8, "lan"): 20.4 * 60, (8, "wan"): 34.2 * 60,
         (8, "bytes"): 39.9 * 2 ** 30}  # a query, on Cheetah
RUNS = {"cheetah": 4, "sci-he": 1}  # samples that are run


def measure(c):
    try:
        fsn = stage_engines.listed(c, "ResNet50")
    except paper_context.Missing as e:
        c.missing.append(str(e))
        return {"rows": []}
    model, rows = c.fusion.load(str(fsn)), []
    for engine, samples in RUNS.items():
        try:
            cost = model.predict_cost(samples, engine=engine)
            for line in ("lan", "wan"):
                m = c.cell(f"{engine} {line}", lambda: stage_engines.run(c, fsn, samples, line, engine))
                rows.append({"engine": engine, "line": line, **m})
        except c.fusion.ModelError as e:
            rows.append({"engine": engine, "refused": str(e)})
        del cost
    try:
        model.predict_cost(1, engine="sci-ot")
    except c.fusion.ModelError as e:
        rows.append({"engine": "sci-ot", "refused": str(e)})
    return {"rows": rows}


def page(found):
    if not found["rows"]:
        return ["The network was not there."]
    lines = ["A sample is measured; a query is that times (RB + T) / R, **projected**.", "",
             "| engine | line | samples run | a sample | " + " | ".join(f"a query, R = {r}, B = {b}" for r, b in SIZES) + " | paper's |",
             "|---|---|--:|--:|" + "--:|" * len(SIZES) + "--:|"]
    for r in (r for r in found["rows"] if "line" in r):
        second, traffic = r["seconds"] / r["samples"], r["bytes"] / r["samples"]
        shares = [(q * b + 100) / q for q, b in SIZES]
        cells = [f"{paper_words.seconds(second * s)}, {paper_words.size(traffic * s)}" for s in shares]
        theirs = "; ".join(f"{paper_words.seconds(PAPER[q, r['line']])}, {paper_words.size(PAPER[q, 'bytes'])}" for q, _ in SIZES) if r["engine"] == "cheetah" else "-"
        lines.append(f"| `{r['engine']}` | {r['line'].upper()} | {r['samples']} | {paper_words.seconds(second)}, {paper_words.size(traffic)} | {' | '.join(cells)} | {theirs} |")
    return [*lines, "", *(f"`{r['engine']}`: {r['refused']}" for r in found["rows"] if "refused" in r)]
