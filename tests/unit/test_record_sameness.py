# SPDX-License-Identifier: Apache-2.0
"""A run is resumed as the same experiment only: each thing that differs is named, then and now."""

from __future__ import annotations

from typing import Any

import pytest

from lab.record.model import BootRecord, Provenance
from lab.record.sameness import differing
from tests.support.stored_run import PROVENANCE

AAAA = BootRecord(boot_id="b1", build_id="aaaa", release="7.3.4")
BBBB = BootRecord(boot_id="", build_id="bbbb", release="7.3.4")
THEN = PROVENANCE.model_copy(update={"boots": (AAAA,), "lab_commit": "1" * 40})
NOW = THEN.model_copy(update={"boots": (AAAA.model_copy(update={"boot_id": ""}),)})


def changed(**what: Any) -> Provenance:
    return NOW.model_copy(update=what)


def test_the_same_experiment_has_no_difference() -> None:
    assert list(differing(THEN, NOW)) == []


def test_two_kernels_of_one_host_may_each_be_booted() -> None:
    then = THEN.model_copy(update={"boots": (AAAA, BBBB, AAAA)})
    assert list(differing(then, changed(boots=(AAAA, BBBB)))) == []


def test_errors_that_could_not_be_patched_are_those_that_were_to_be() -> None:
    then = THEN.model_copy(update={"errata": "failed"})
    assert list(differing(then, changed(errata="applied"))) == []
    assert len(list(differing(then, changed(errata="left")))) == 1


@pytest.mark.parametrize(
    ("now", "says"),
    [
        ({"lab_commit": "2" * 40}, f"the lab's commit was {'1' * 40}, and is {'2' * 40} now"),
        ({"lab_commit": ""}, f"the lab's commit was {'1' * 40}, and is not known now"),
        (
            {"lab_dirty": True},
            "uncommitted changes in the lab was not there, and is there now",
        ),
        ({"lab_source": "ab" * 32}, f"the lab's code was {THEN.lab_source[:20]}..., and is abab"),
        ({"qemu": "10.1.0"}, "QEMU was 10.0.3, and is 10.1.0 now"),
        ({"libvirt": "10.0.0"}, "libvirt was 9.0.0, and is 10.0.0 now"),
        ({"errata": "left"}, "the errors of QEMU, as [libvirt] errata says, was applied, and is"),
        ({"cpu_model": "x"}, "L0's processor was AMD EPYC-Milan, and is x now"),
        ({"host_cpu": ""}, "the CPU model of hosts was max, and is not known now"),
        ({"l0_kernel": "6.2"}, "L0's kernel was 6.1.0, and is 6.2 now"),
        (
            {"limits": {"watch.patience_s": 90.0}},
            "[watch] patience_s was 5, and is 90 now",
        ),
        (
            {"limits": {"watch.patience_s": 5.0, "patience.boot_s": 1.0}},
            "[patience] boot_s was not known, and is 1 now",
        ),
        ({"boots": (BBBB,)}, "a kernel was build aaaa (7.3.4), and is bbbb now"),
        (
            {"images": {**THEN.images, "root": "00" * 32}},
            "the image 'root' was 9b9b9b9b9b9b9b9b9b9b..., and is 00000000000000000000... now",
        ),
    ],
)
def test_what_differs_is_named(now: dict[str, Any], says: str) -> None:
    (found,) = differing(THEN, changed(**now))
    assert found.startswith(says)


def test_every_field_of_a_provenance_is_compared() -> None:
    for field in Provenance.model_fields:
        other = {"boots": (BBBB,), "limits": {}, "images": {}, "errata": "left"}
        now = changed(**{field: other.get(field, "another")})
        assert list(differing(THEN, now)), field
