# SPDX-License-Identifier: Apache-2.0
"""The KCIDB document, held against the schema of KernelCI's own package."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest

from lab.config.enums import Scope
from lab.record.model import EnvironmentRecord, ExpectationRecord, RunRecord
from lab.report.kcidb import kcidb_json
from tests.support.records import LOST, cell, run, sixty

kcidb_io = pytest.importorskip("kcidb_io", reason="kcidb-io is a dev dependency: make install")

Kind = Literal["survives", "dies", "parks"]
EVIL = "a\0b <c> \ud7ff ../x#y"


def document(record: RunRecord) -> Any:
    made = json.loads(kcidb_json(record))
    schema = kcidb_io.schema.V5_3 if hasattr(kcidb_io.schema, "V5_3") else kcidb_io.schema.LATEST
    assert (schema.major, schema.minor) == (5, 3)
    schema.validate(made)
    return made


def test_a_whole_run_is_valid_and_every_link_of_it_resolves() -> None:
    made = document(sixty())
    builds = {build["id"] for build in made["builds"]}
    assert {test["build_id"] for test in made["tests"]} <= builds
    checkouts = {checkout["id"] for checkout in made["checkouts"]}
    assert {build["checkout_id"] for build in made["builds"]} <= checkouts
    ids = [test["id"] for test in made["tests"]]
    assert len(ids) == len(set(ids))


def test_the_lab_is_not_taken_for_the_product() -> None:
    statuses = {
        test["comment"]: test["status"]
        for test in document(
            run(
                cell("good"),
                cell("bad", outcome="failed", verdict=LOST),
                cell("broken", outcome="error", verdict=LOST),
                cell("never", outcome="error", verdict=None),
                cell("away", outcome="unavailable", verdict=None),
                cell("good", repeat=2),
            )
        )["tests"]
    }
    assert statuses == {
        "good": "PASS",
        "bad": "FAIL",
        "broken": "ERROR",
        "never": "MISS",
        "away": "SKIP",
        "good#2": "PASS",
    }


def test_a_silence_is_a_number_with_its_unit() -> None:
    (test,) = document(run(cell()))["tests"]
    assert test["number"] == {"value": 0.412, "unit": "s", "prefix": "metric"}
    assert test["path"] == "caretaker.vmm-kill.linux.labvmm.silence"


@pytest.mark.parametrize("scope", list(Scope))
def test_a_control_is_not_a_result_of_the_test_that_it_controls(scope: Scope) -> None:
    """A dashboard lays results of one path side by side: a control's PASS is a guest's death."""
    kinds: tuple[Kind, ...] = ("survives", "dies", "parks")
    cells = [cell(kind, expectation=ExpectationRecord(kind=kind, scope=scope)) for kind in kinds]
    ends = {test["comment"]: test["path"].split(".") for test in document(run(*cells))["tests"]}
    before = ["caretaker", "vmm-kill", "linux", "labvmm"]
    assert all(path[:-1] == before for path in ends.values())
    wanted = {
        Scope.RUNNING: ["silence", "control", "parked"],
        Scope.MEMORY: ["memory", "memory_control", "memory_parked"],
    }
    assert [ends[kind][-1] for kind in kinds] == wanted[scope]


def test_whatever_is_said_the_document_stays_valid() -> None:
    odd = dict.fromkeys(("arch", "kernel", "disruption", "guest"), EVIL)
    document(
        run(
            cell(EVIL, first_cause=EVIL, rerun=EVIL, dimensions=odd, evidence=""),
            cell("bare", dimensions={}, expectation=None, verdict=None),
            environment=EnvironmentRecord(),
        )
    )
    document(run())


def test_the_schema_would_notice() -> None:
    made = json.loads(kcidb_json(run(cell())))
    made["tests"][0]["status"] = "GREEN"
    with pytest.raises(Exception, match="GREEN"):
        kcidb_io.schema.LATEST.validate(made)
