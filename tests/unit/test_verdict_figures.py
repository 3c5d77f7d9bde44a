# SPDX-License-Identifier: Apache-2.0
"""Verdicts, scopes, calibration, and the probe that watches L0 itself."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from lab.deadline import Deadline, pause, until
from lab.errors import InfraError
from lab.observe.jitter import JitterProbe
from lab.observe.window import Window
from lab.verdict.calibration import calibration
from lab.verdict.verdict import Check, Lost, Parked, Survived, Unproven

KINDS = (Survived, Parked, Lost, Unproven)


def test_verdicts_of_different_kinds_are_never_equal() -> None:
    told = [kind("because", Check.ALL) for kind in KINDS]
    assert [a == b for a in told for b in told].count(True) == len(KINDS)


MS = 1_000_000


@pytest.mark.parametrize(
    ("measured", "inner", "outer", "right"),
    [
        pytest.param(1000, 1000, 1001, True, id="exact"),
        pytest.param(950, 1000, 1000, True, id="five-percent-short"),
        pytest.param(949, 1000, 1000, False, id="too-short"),
        pytest.param(1050, 1000, 1000, True, id="five-percent-long"),
        pytest.param(1051, 1000, 1000, False, id="too-long"),
        pytest.param(80, 100, 100, True, id="twenty-ms-short"),
        pytest.param(79, 100, 100, False, id="more-than-twenty-ms"),
        pytest.param(0, 1000, 1000, False, id="not-noticed"),
        pytest.param(500, 100, 1000, False, id="stop-not-known"),
        pytest.param(10, 0, 0, False, id="no-stop"),
        pytest.param(10, 20, 10, False, id="inside-out"),
    ],
)
def test_a_silence_of_known_length_is_measured(
    measured: int, inner: int, outer: int, *, right: bool
) -> None:
    assert calibration(measured * MS, inner * MS, outer * MS).right is right


def test_a_probe_says_when_it_stalled() -> None:
    # Any limit is exceeded if it is below what a nap costs: each nap is a void then.
    with JitterProbe(0.0) as probe:
        began = time.monotonic()
        until("a void", lambda: probe.voids or None, Deadline.after(10))
        pause(0.1)
        ended = time.monotonic()
    assert all(void.length > 0 for void in probe.voids)
    assert any(void.overlap(Window(began, ended)) > 0 for void in probe.voids)


def test_a_probe_with_a_generous_limit_says_nothing() -> None:
    with JitterProbe(5.0) as probe:
        pause(0.1)
    assert probe.voids == ()


def test_a_probe_ends_with_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "lab.observe.jitter"],
        input="",
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert done.stdout.startswith("ready ")


def test_jitter_probe_ending_early_is_an_error_not_quiet() -> None:
    def cut() -> None:
        with JitterProbe(5.0) as probe:
            probe._process.kill()
            probe._process.wait()

    with pytest.raises(InfraError, match="ended early"):
        cut()
