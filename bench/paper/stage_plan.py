"""Table I: copies for so many queries."""
from math import comb, log2

NAME, TITLE = "plan", "Table I: copies of each query"
PAPER = {3: 8, 5: 7, 7: 6, 9: 5, 13: 4, 19: 3}  # log2 R -> B, at T = 100 and 40 bits


def paper_bits(queries, copies, public):
    """-log2 of the paper's bound R / C(N, B)."""
    return log2(comb(queries * copies + public, copies)) - log2(queries)


def measure(c):
    rows = []
    for log_r, copies in PAPER.items():
        queries = 2 ** log_r
        ours, canaries = c.fusion.plan(queries, min_accuracy=0.95), c.fusion.plan(queries, min_accuracy=0.95, min_public=0, min_canaries=20)
        given = c.fusion.plan(queries, copies=copies, min_accuracy=1.0, security_bits=1)
        rows.append({"queries": queries, "paper_copies": copies, "paper_bits": paper_bits(queries, copies, 100),
                     "exact_bits": given.soundness_bits, "exact_public": given.public_samples, "copies": ours.copies,
                     "public": ours.public_samples, "cost": ours.cost_per_query, "paper_cost": copies + 100 / queries,
                     "canary_cost": canaries.cost_per_query})
    return {"rows": rows}


def page(found):
    lines = ["The paper's bound is R / C(RB + T, B). Ours counts every set of queries that a server may spoil, and the public answers that may be",
             "wrong (5 % here); with canaries none may.", "",
             "| R | B, paper | its bits | bits of the exact bound, no wrong answer allowed | our B, T at 5 % allowed | samples a query: paper, ours, canaries |",
             "|--:|--:|--:|--:|--:|--:|"]
    for r in found["rows"]:
        lines.append(f"| {r['queries']:,} | {r['paper_copies']} | {r['paper_bits']:.1f} | {r['exact_bits']:.1f} | {r['copies']}, {r['public']} "
                     f"| {r['paper_cost']:.2f}, {r['cost']:.2f}, {r['canary_cost']:.2f} |")
    return lines
