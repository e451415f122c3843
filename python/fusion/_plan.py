"""Planning a job: how many copies and public samples make a cheating server fail."""
from __future__ import annotations

from fusion._errors import call
from fusion._native import ffi, lib
from fusion._settings import Record, new, result, values


class Plan(Record):
    """A choice of copies and public samples.

    queries, copies, public_samples, samples: whole numbers (R, B, T, and N = R*B + T*K). allowed_errors: public answers
    that may be wrong. cost_per_query: inferences for each query. soundness_bits: -log2 of the best chance of a server that
    makes answers wrong wherever it tampers. public_copies: K. canaries: of the public samples."""

    queries: int
    copies: int
    public_samples: int
    samples: int
    allowed_errors: int
    cost_per_query: float
    soundness_bits: float

    def sensitivity(self, part: float) -> Record:
        """Bits against tampering that makes only `part` (above 0, at most 1) of all labels wrong: given_bits, -log2 of the
        chance that a wrong answer to a given query is accepted, and any_bits, that to any of them. UsageError."""
        choice = result("fusion_plan_choice", **self.as_dict())
        out = result("fusion_sensitivity", part=part)
        call(lib.fusion_plan_sensitivity, choice, out)
        return Record(values(out))


def plan_of(choice) -> Plan:
    return Plan(values(choice))


def plan(queries: int, *, copies: int | None = None, security_bits: int = 40, min_public: int = 100,
         min_accuracy: float = 0.95, public_copies: int = 1, min_canaries: int = 0) -> Plan:
    """The cheapest job of `queries` queries (1 to 2^40) with at least `security_bits` (1 to 100) bits of soundness.

    min_public: at least so many labelled public samples. min_accuracy, above 0 and at most 1: floor((1 - it) * T) public
    answers may be wrong. public_copies: 1 to 64. min_canaries: not 0 for a job with canaries. copies: plan with so many
    copies of each query, at least 2, whatever they cost. UsageError; UnreachableError when nothing satisfies this."""
    given = {"queries": queries, "security_bits": security_bits, "min_public": min_public, "min_accuracy": min_accuracy,
             "public_copies": public_copies, "min_canaries": min_canaries}
    request, _ = new("fusion_plan_request", lib.fusion_plan_request_init, given, "plan()")
    choice = result("fusion_plan_choice")
    if copies is None:
        call(lib.fusion_plan_copies, request, choice)
    else:
        call(lib.fusion_plan_with_copies, request, copies, float("inf"), choice)
    return plan_of(choice)


def power(promise: float, reject_below: float, error_rate: float) -> Record:
    """The least number of public samples that tells two models apart: one of accuracy `promise` is refused, and one of
    accuracy `reject_below` accepted, with probability at most `error_rate` each. The result has public_samples,
    allowed_errors, min_accuracy, refuse_good and accept_bad. UsageError."""
    out = result("fusion_power", promise=promise, reject_below=reject_below, error_rate=error_rate)
    call(lib.fusion_plan_power, out)
    return Record(values(out))


def calibrate():
    """The speeds of this machine, measured in about a second while nothing else should run: for `speeds` of Client, which
    then predicts a job's seconds, and of Server, which tells them to its clients."""
    speeds = result("fusion_speeds")
    call(lib.fusion_bench_calibrate, speeds)
    return speeds


def engines() -> dict[str, str]:
    """The protocol engines: name and what each does; the first is the default."""
    found = {}
    while True:
        name = lib.fusion_engine_name(len(found))
        if not name:
            return found
        found[ffi.string(name).decode()] = ffi.string(lib.fusion_engine_summary(len(found))).decode()
