"""The verdict on a job."""
from __future__ import annotations

import html as escape
import json
import os

from fusion._errors import FileError, check
from fusion._native import ffi, lib
from fusion._settings import Record

CLASSES_SHOWN = 10
CHANGED_PART = 0.1  # of all answers: what a few canaries still notice is shown for this


def format_bytes(count: float) -> str:
    """As `fusion` prints bytes: "33.3 MiB"."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if count < 1000 or unit == "PiB":
            break
        count /= 1024
    digits = 0 if unit == "B" or count >= 100 else 1 if count >= 10 else 2
    return f"{count:.{digits}f} {unit}"


def format_seconds(seconds: float) -> str:
    """As `fusion` prints times: "5.4 s", "3 min 20 s"."""
    if seconds < 1:
        return f"{seconds * 1e3:.0f} ms"
    if seconds < 99.5:
        return f"{seconds:.{1 if seconds < 9.95 else 0}f} s"
    whole = int(seconds + 0.5)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def _text(function, verdict) -> str:
    out = ffi.new("char **")
    check(function(verdict, out))
    text = ffi.string(out[0]).decode(errors="replace")
    lib.fusion_text_free(out[0])
    return text


class Verdict(Record):
    """What was checked of a job and what came out: the fields of its JSON report as attributes (fusion-query(1)).

    `accepted` is True or False; `reason` is one sentence. Counts are whole numbers, `seconds` and `stages` have times,
    `bytes_sent` and `bytes_received` traffic. print() shows the lines that `fusion query` shows."""

    accepted: bool
    reason: str
    accuracy: float | None
    accuracy_lower_bound: float | None
    soundness_bits: float
    seconds: float

    def __init__(self, report: dict, page: str = ""):
        super().__init__({**report, "accepted": report["verdict"] == "accept"})
        self.__dict__["_page"] = page

    @classmethod
    def of(cls, verdict) -> Verdict:
        """From a fusion_verdict."""
        return cls(json.loads(_text(lib.fusion_verdict_json, verdict)), _text(lib.fusion_verdict_html, verdict))

    def as_dict(self) -> dict:
        """The report's fields."""
        return {k: v for k, v in self.__dict__.items() if k != "_page"}

    def html(self) -> str:
        """The record as one page: no scripts, nothing loaded from elsewhere."""
        return self._page

    def save(self, path) -> None:
        """Writes the record: as a page when the name ends in .html or .htm, else as JSON. FileError."""
        page = os.fspath(path).lower().endswith((".html", ".htm"))
        try:
            with open(path, "w", encoding="utf-8") as f:
                f.write(self._page if page else json.dumps({k: v for k, v in self.as_dict().items() if k != "accepted"},
                                                           indent=2) + "\n")
        except OSError as wrong:
            raise FileError(f"'{path}': cannot be written: {wrong.strerror}") from None

    @property
    def _is_audit(self) -> bool:
        return bool(self.audit and self.audit["this_job"])

    def _job(self) -> str:
        labelled = self.public - self.canaries
        parts = [] if self._is_audit else [f"{self.queries} queries, {self.copies} copies each"]
        parts += [f"{self.canaries} canaries"] * (self.canaries > 0)
        parts += [f"{labelled} public samples"] * (labelled > 0)
        parts += [f"{self.public_copies} copies each"] * (self.public_copies > 1)
        return f"{', '.join(parts)}: {self.samples} samples"

    def _against(self) -> str:
        if self._is_audit:
            return "answers of two models"
        return ("tampering that spoils every answer it touches" if self.public > self.canaries
                else "tampering that changes what it touches")

    def _at_least(self, bound: float) -> str:
        return f"at least {100 * bound:.2f} % at confidence {self.confidence:.3g}"

    def _canary_rows(self):
        a = self.audit
        yield ("audited", f"{a['audited_utc']}: {100 * a['accuracy']:.2f} % of {a['samples']} samples right; "
                          f"{self._at_least(a['accuracy_lower_bound'])}")
        passes = f"; a model that answers 1 sample in 10 differently passes with probability {(1 - CHANGED_PART) ** self.canaries:.2g}"
        yield ("unchanged", f"{self.canaries - self.changed_canaries} of {self.canaries} canaries"
                            + ("" if self.changed_canaries else passes))

    def _class_rows(self):
        classes = sorted(self.audit["classes"], key=lambda c: (c["accuracy_lower_bound"], c["label"]))
        for c in classes[:CLASSES_SHOWN]:
            yield ("class", f"{c['label']}: {c['samples'] - c['wrong']} of {c['samples']} right; "
                            f"{self._at_least(c['accuracy_lower_bound'])}")
        if len(classes) > CLASSES_SHOWN:
            yield ("", f"and {len(classes) - CLASSES_SHOWN} classes with higher bounds: see the report")

    def rows(self) -> list[tuple[str, str]]:
        """What print() shows, as pairs of a word and a line."""
        rows = [("verdict", f"{self.verdict}: {self.reason}"), ("job", self._job()), ("compared", self.compared),
                ("security", f"{self.soundness_bits:.1f} bits against {self._against()}")]
        if self.public > self.canaries:
            rows.append(("accuracy", f"{100 * self.accuracy:.2f} % on the public samples; "
                                     f"{self._at_least(self.accuracy_lower_bound)}"))
        if self.canaries:
            rows += self._canary_rows()
        if self._is_audit and self.audit:
            rows += self._class_rows()
        rows.append(("traffic", f"{format_bytes(self.bytes_sent)} sent, {format_bytes(self.bytes_received)} received, "
                                f"{self.rounds} rounds, {format_seconds(self.seconds)}"))
        if self.predicted:
            seconds, server, client = (format_seconds(self.predicted[k]) for k in ("seconds", "server_seconds", "client_seconds"))
            rows.append(("predicted", f"{seconds}, not counting the line's bandwidth; processor {server} at the server, {client} here"))
        return rows

    def __str__(self) -> str:
        return "\n".join(f"{word:<10} {line}" for word, line in self.rows())

    def __repr__(self) -> str:
        return f"<Verdict {self.verdict}: {self.reason}>"

    def _repr_html_(self) -> str:
        colour, ground = ("#11734b", "#e2f5ec") if self.accepted else ("#a3271c", "#fbe9e7")
        (_, headline), *rest = self.rows()
        cells = "".join(f"<tr><td style='text-align:left;color:#5d6b7c'>{word}</td>"
                        f"<td style='text-align:left'>{escape.escape(line)}</td></tr>" for word, line in rest)
        note = f"<p>{escape.escape(self.note)}</p>" if self.note else ""
        return (f"<div><p style='background:{ground};color:{colour};padding:.5em 1em;border-radius:8px'>"
                f"<b>{escape.escape(headline)}</b></p>{note}<table>{cells}</table></div>")
