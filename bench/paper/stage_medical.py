"""Table V: medical data, accuracy beside cost."""
import paper_networks
import paper_words
import stage_engines

NAME, TITLE = "medical", "Table V: medical data"
SETS = ["tcga", "gse2034", "pneumonia", "skin"]
R, B, T = 2 ** 13, 4, 100


def one(c, name, data):
    network = paper_networks.network(c, name, data)
    fixed = float((paper_networks.answers(network.model, data.test).labels == data.test_labels).mean())
    row = {"title": data.title, "note": data.note, "inputs": int(data.train.shape[1]), "float": network.float_accuracy, "fixed": fixed,
           "tested": len(data.test)}
    queries, copies = (32, 4) if c.quick else (R, B)
    n = queries * copies + T
    for line in ("lan", "wan"):
        m = c.cell(f"{name} {line}", lambda: stage_engines.run(c, network.path, n, line, "cheetah"))
        row[line] = {"seconds": m["seconds"] / queries, "bytes": m["bytes"] / queries}
    return {**row, "queries": queries, "copies": copies}


def measure(c):
    return {"rows": [one(c, name, data) for name, data in paper_networks.all_of(c, ["breast"] if c.quick else SETS)]}


def page(found):
    rows = found["rows"]
    if not rows:
        return ["No set was there."]
    lines = [f"Engine `cheetah`, R = {rows[0]['queries']:,}, B = {rows[0]['copies']}, T = {T}, measured whole; a query. Each network is trained by the command, from what is in hand: subsets of the",
             "genes, and a set of the same shape in place of the skin lesions. The paper's own table has a query of PneumoniaMNIST cost 145 times one of MNIST, with as many",
             "inputs; the same network on either costs us the same.", "",
             "| set | inputs | accuracy: float, fixed point | LAN | WAN | traffic |", "|---|--:|--:|--:|--:|--:|"]
    for r in rows:
        note = f" ({r['note']})" if r["note"] else ""
        lines.append(f"| {r['title']}{note} | {r['inputs']:,} | {100 * r['float']:.1f}, {100 * r['fixed']:.1f} % of {r['tested']} | "
                     f"{paper_words.seconds(r['lan']['seconds'])} | {paper_words.seconds(r['wan']['seconds'])} | {paper_words.size(r['lan']['bytes'])} |")
    return lines
