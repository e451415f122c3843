"""Plans, equal to those of the command."""
import json
import subprocess

import pytest

import fusion


def test_plan__equals_the_commands(command):
    told = json.loads(subprocess.run([command, "plan", "--queries", "512", "--min-accuracy", "0.92", "--json"], check=True,
                                     capture_output=True, text=True).stdout)
    p = fusion.plan(512, min_accuracy=0.92)
    assert (p.copies, p.public_samples, p.samples, p.allowed_errors) == (5, 100, 2660, 8)
    chosen = told.get("plan", told)
    assert chosen["copies"] == p.copies and chosen["samples"] == p.samples


def test_plan__with_given_copies_and_canaries():
    assert fusion.plan(512, min_accuracy=0.92, copies=7).samples == 3684
    p = fusion.plan(512, min_public=0, min_canaries=20)
    assert p.canaries >= 20 and p.samples < 2660


def test_sensitivity__is_less_for_rare_harm():
    p = fusion.plan(512)
    bits = [p.sensitivity(part).any_bits for part in (1, 0.5)]
    assert bits[0] >= 40 > bits[1] and p.sensitivity(0.5).given_bits > bits[1]
    with pytest.raises(fusion.UsageError):
        p.sensitivity(0)


def test_power__separates_two_models():
    found = fusion.power(0.97, 0.90, 0.01)
    assert found.refuse_good <= 0.01 and found.accept_bad <= 0.01


def test_plan__refuses_by_name():
    with pytest.raises(TypeError, match="queries"):
        fusion.plan("many")
    with pytest.raises(fusion.UsageError):
        fusion.plan(0)
    with pytest.raises(OverflowError, match="queries"):
        fusion.plan(-1)


def test_engines__begin_with_the_default():
    assert next(iter(fusion.engines())) == "cheetah" and all(fusion.engines().values())
