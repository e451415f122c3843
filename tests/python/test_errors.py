"""Failures: one exception class a status, with the library's text."""
import re
from pathlib import Path

import pytest

import fusion
from fusion import _errors
from fusion._native import ffi, lib

SOURCE = Path(__file__).resolve().parents[2]


def test_errors__have_one_class_for_each_status():
    header = (SOURCE / "include/fusion/status.h").read_text()
    statuses = {int(n) for n in re.findall(r"FUSION_E_\w+ = (-\d+)", header)}
    assert set(_errors.BY_STATUS) == statuses
    assert len(set(_errors.BY_STATUS.values())) == len(statuses)
    assert all(issubclass(c, fusion.FusionError) and c.__doc__ for c in _errors.BY_STATUS.values())


def test_errors__inherit_by_the_class_of_their_status():
    for status, kind in _errors.BY_STATUS.items():
        name = ffi.string(lib.fusion_status_class(status)).decode()
        assert kind("x").kind == name and kind.status == status
        of = _errors.BY_STATUS[status // 100 * 100 if status % 100 == 0 else -(-status // 100 * 100)]
        assert issubclass(kind, of)


def test_check__without_text_gives_the_general_one():
    with pytest.raises(fusion.ClosedError, match="clos"):
        _errors.check(lib.FUSION_E_CLOSED)
    _errors.check(lib.FUSION_OK)


def test_texts__are_those_of_the_command():
    with pytest.raises(fusion.FileError, match="'missing.fsn'") as wrong:
        fusion.load("missing.fsn")
    assert isinstance(wrong.value, OSError) and "\n" not in str(wrong.value)
    with pytest.raises(fusion.UnreachableError):
        fusion.plan(512, min_accuracy=0.5, min_public=1, security_bits=100, copies=2)
