# SPDX-License-Identifier: Apache-2.0
"""Ratios are of rounds, and their median is told: one bad round does not decide."""

from __future__ import annotations

from lab.bench import beacon
from lab.bench.swallowed import AIMS, lines, told


def test_a_ratio_is_the_median_of_those_of_rounds() -> None:
    native = [{"fork": seconds} for seconds in (1.0, 2.0, 4.0)]
    swallowed = [{"fork": seconds} for seconds in (1.5, 2.2, 40.0)]
    found = told("fork", {"native": native, "swallowed": swallowed})
    assert found["swallowed_over_native"] == 1.5
    assert found["each"] == [1.5, 1.1, 10.0]
    assert found["aim"] == AIMS["fork"]
    assert not found["met"]


def test_what_misses_its_aim_is_said_to() -> None:
    once = dict.fromkeys(AIMS, 1.0)
    slower = once | {"fork": 1.2, "kvm_exit": 2.9}
    found = {what: told(what, {"native": [once], "swallowed": [slower]}) for what in AIMS}
    said = {line.split(":")[0].split()[-1]: line for line in lines({"rounds": 1, **found})}
    assert said.keys() == AIMS.keys()
    assert [what for what, line in said.items() if line.endswith("missed")] == ["fork"]
    assert said["fork"].endswith("1.20 (1.20 to 1.20), aim 1.05: missed")
    assert list(lines({"unavailable": "no SVM"})) == ["swallowed: unavailable: no SVM"]


def test_what_verifying_ram_costs_is_the_median_of_rounds() -> None:
    rounds = [
        ({"silence_ms": ms, "beats": 900.0, "ram_mib_s": 4.0}, {**WITHOUT, "silence_ms": other})
        for ms, other in ((3.0, 2.0), (4.0, 4.0), (90.0, 3.0))
    ]
    found = beacon.told(rounds)
    assert found["each"] == [1.5, 1.0, 30.0]
    assert found["with_over_without"] == 1.5
    assert (found["silence_ms_with"], found["silence_ms_without"]) == (4.0, 3.0)
    assert (found["beats_with"], found["beats_without"]) == (900.0, 1000.0)
    said = list(beacon.lines(dict.fromkeys(("linux", "spinner", "ticker"), found)))
    assert len(said) == 3
    assert said[0].endswith("linux  : 1.50 (1.00 to 30.00), 4.0 ms over 3.0 ms, 4.0 MiB/s")


WITHOUT = {"beats": 1000.0, "ram_mib_s": 0.0}
