"""The page: findings, then a section for each stage."""
import paper_context
import paper_words

HEAD = """# The paper, measured

Made by `make paper` (`bench/paper`); edit that instead. Every number was produced by that command on the machine named below, except those
marked as the paper's, as projected, or as another program's.
"""

READING = """## What the comparison means

The paper's machines were Xeons of 2.3 to 2.4 GHz with a real LAN (382 MB/s, 0.3 ms) and WAN (44 MB/s, 40 ms). Ours is named above; one core a party, and
the lines are imitated in the program, as `fusion bench model --network` does. Read ratios between engines, and orders of magnitude beside the paper.

Figures of the paper that contradict each other, and how we read them:

- Table IV gives a query of the MNIST network in KiB and microseconds; its 784 inputs alone take more. With MiB and ms it agrees with Table II, and with what
  ABY's triples must take (134,400 products of 1,280 bytes are 164 MiB; the table says 170.98).
- 1845 is the number of queries in the text on Fig. 6, and the number of inputs in the authors' published network. We run both: 1,845 queries of 1,845 inputs.
- Table V has a query of PneumoniaMNIST cost 145 times one of MNIST in Table IV, with as many inputs.
- Fig. 5 is said to show the smallest variance at T = 100 on all six sets. The law of such a variance falls with T.
- Fig. 8 has the cryptanalytic attack steal an MNIST network with 96.25 %. That attack finds weights exactly or fails; that figure must come from something else.
"""


def order(best):
    """Whether the paper's order of its engines holds here."""
    theirs = [e for e in ("cheetah", "sci-ot", "delphi", "aby") if e in best]
    ours = sorted(theirs, key=lambda e: best[e]["seconds"])
    names = " < ".join(f"`{e}`" for e in ours)
    if ours == theirs:
        return f"The order of the paper's engines is the same as there: {names}."
    return f"The order of the paper's engines is {names} here; there it is {' < '.join(f'`{e}`' for e in theirs)}."


def findings(results):
    """Three paragraphs, from what was found; a stage that was not run leaves its sentence out."""
    paragraphs = []
    engines = results.get("engines", {}).get("tables", [])
    if engines:
        t = engines[0]
        best = {e: by["lan"][-1] for e, by in t["engines"].items()}
        cheapest = min(best, key=lambda e: best[e]["seconds"])
        dearest = max(best, key=lambda e: best[e]["seconds"])
        paragraphs.append(
            f"**Cost.** Every engine runs the same program with the same answers. On {t['title']} at R = {best[cheapest]['queries']:,} a query over the LAN takes "
            f"{paper_words.seconds(best[cheapest]['seconds'])} with `{cheapest}` and {paper_words.seconds(best[dearest]['seconds'])} with `{dearest}`. {order(best)}")
    extraction = results.get("extraction")
    if extraction and extraction["sets"]:
        s = extraction["sets"][0]
        last = {f: p[-1] for f, p in s["forms"].items()}
        paragraphs.append(
            f"**Where the defence holds, and where it does not.** A substitute trained on probabilities agrees with the server's model on {100 * last['probabilities']['agreement']:.1f} % of test "
            f"samples after {last['probabilities']['queries']:,} queries; on rounded ones {100 * last['rounded']['agreement']:.1f} %, behind reverse sigmoid "
            f"{100 * last['reverse-sigmoid']['agreement']:.1f} %, from labels alone {100 * last['label']['agreement']:.1f} %. No form of answers that is still of use stops a substitute: labels alone carry "
            "nearly all that it needs. Reverse sigmoid hurts an attacker who trains on the numbers as they are, but one who keeps the largest entry only has the labels; and with the published default "
            "(beta = gamma = 1) its answer is the same for every class, so nobody learns anything. What protects a model is how many answers a client may have: `fusion serve --clients`.")
    if extraction:
        two = extraction["two"]
        paragraphs.append(
            f"**Where exact extraction stops.** The cryptanalytic attack needs second differences of exact answers. From 64-bit floats it finds {two['rows'][0]['found']} of the {two['hidden']} hidden units of a small network; {loss(two)}; "
            f"on fixed-point answers as `fusion` gives them it finds {two['fixed']['found']}. This is no proof: an attack made for staircases may do better.")
    return "\n\n".join(paragraphs)


def loss(two):
    """At what precision of the answers it begins to fail."""
    rounded = sorted((r["bits"], r["found"]) for r in two["rows"] if r["bits"] is not None)
    less = [bits for bits, found in rounded if found < two["rows"][0]["found"]]
    none = [bits for bits, found in rounded if not found]
    words = f"fewer when answers have {max(less)} bits behind the point" if less else "as many at every precision tried"
    return words + (f", none at {max(none)}" if none else "")


def wrapped(lines):
    return "\n".join(lines).rstrip() + "\n"


def write(args, stages, results):
    """paper.md and its figures; the path of the page."""
    machines = [r["machine"] for r in results.values() if "machine" in r]
    parts = [HEAD, findings(results)]
    if machines:
        m = machines[-1]
        loads = sorted({f"{x['load']:.1f}" for x in machines}, key=float)
        parts.append(f"Machine: {m['processor']}, {m['cores']} cores, {m['vectors']}; {m['date']}. Load before the stages: {loads[0]} to {loads[-1]}"
                     + (" (**busy**: times are too high, ratios hold)." if float(loads[-1]) > 1 else "."))
    missing = sorted({x for r in results.values() for x in r.get("missing", [])})
    if missing and not args.quick:
        parts.append(f"Left out, because the data were not there: {', '.join(missing)}.")
    if args.quick:
        parts.append("This is the quick form: small sizes, and sets of scikit-learn.")
    for stage in stages:
        if stage.NAME not in results:
            continue
        found = results[stage.NAME]
        parts.append(f"## {stage.TITLE}")
        parts += stage.draw(found, args.out) if hasattr(stage, "draw") else []
        parts.append(wrapped(stage.page(found)))
    parts.append(READING)
    path = args.out / "paper.md"
    paper_context.write_whole(path, "\n\n".join(p.strip("\n") for p in parts if p) + "\n")
    return path
