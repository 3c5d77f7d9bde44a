# SPDX-License-Identifier: Apache-2.0
"""The run as a KCIDB v5.3 document: what kernel CIs exchange. It is written, and never sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping

from lab.config.enums import Scope
from lab.record.classify import LADDER, RUN, Classified, Status, classified
from lab.record.labels import cause, result, why
from lab.record.model import (
    CellRecord,
    CheckRecord,
    EnvironmentRecord,
    KernelRecord,
    Outcome,
    RunRecord,
)

ORIGIN = "caretaker_lab"
_NOT_A_PATH = re.compile(r"[^a-zA-Z0-9_-]+")
_STATUS = {
    Status.PASSED: "PASS",
    Status.FAILED: "FAIL",
    Status.ERROR: "ERROR",
    Status.XFAIL: "DONE",  # it has no word for a failure that is known, and a PASS it is not
    Status.UNAVAILABLE: "SKIP",
    Status.SKIPPED: "SKIP",
    Status.NOT_RUN: "MISS",
    Status.INTERRUPTED: "MISS",
}
# What a test of a cell shows, and so the end of its path: a control that dies as it should, and
# a guest that lives, are no results of one test.
_SHOWS = {"dies": "control", "parks": "parked"}
_NO_BUILD = "several"  # what is beside the cells may boot several kernels, or none


def kcidb_json(record: RunRecord) -> str:
    """Render a run for KCIDB: kernels are builds, cells are tests, silences are numbers.

    A test there is of one build. Tests beside the cells, cells that left no record, and a run
    that did not end are tests of a build without a kernel, `several`.

    Args:
        record: The run.

    Returns:
        The content of `kcidb.json`.

    Source: KCIDB's schema v5.3.
    """
    tests = classified(record)
    used = dict.fromkeys(_build_of(each.record) for each in tests)
    known = record.environment.kernels
    builds = {name: known.get(name) for name in [*used, *known]}
    document = {
        "version": {"major": 5, "minor": 3},
        "checkouts": [_checkout(name, kernel) for name, kernel in builds.items()],
        "builds": [_build(name, kernel) for name, kernel in builds.items()],
        "tests": [
            _test(record, each, each.record)
            if isinstance(each.record, CellRecord)
            else _beside(record, each)
            for each in tests
        ],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _build_of(cell: CellRecord | CheckRecord | None) -> str:
    """Return the name of a cell's kernel in the environment."""
    if not isinstance(cell, CellRecord):
        return _NO_BUILD
    return f"{cell.dimensions.get('kernel', 'unknown')} {cell.dimensions.get('arch', '')}".strip()


def _checkout(name: str, kernel: KernelRecord | None) -> dict[str, object]:
    checkout: dict[str, object] = {"id": _id("checkout", name, kernel), "origin": ORIGIN}
    if kernel is not None:
        source = f"{kernel.source} {kernel.source_version}".strip()
        checkout["comment"] = _clean(f"{kernel.release}, from {source or 'an unknown source'}")
        checkout["valid"] = True
    return checkout


def _build(name: str, kernel: KernelRecord | None) -> dict[str, object]:
    build: dict[str, object] = {
        "id": _id("build", name, kernel),
        "checkout_id": _id("checkout", name, kernel),
        "origin": ORIGIN,
        "architecture": re.sub(r"[^a-z0-9_]", "", name.rpartition(" ")[2].lower()),
    }
    if kernel is not None:
        build["config_name"] = _clean(name.partition(" ")[0])
        build["status"] = "PASS"
        build["misc"] = {"build_id": kernel.build_id, "config_digest": kernel.config_digest}
    return build


def _test(record: RunRecord, each: Classified, cell: CellRecord) -> dict[str, object]:
    name, verdict = _build_of(cell), cell.verdict
    test: dict[str, object] = {
        "id": f"{ORIGIN}:{_clean(record.run_id)}/{_clean(cell.key)}",
        "build_id": _id("build", name, record.environment.kernels.get(name)),
        "origin": ORIGIN,
        "path": _path(cell),
        "comment": _clean(cell.key),
        "status": _status(each.status, cell),
        "start_time": record.started.isoformat(timespec="seconds"),
        "duration": cell.duration_s,
        "environment": {"comment": _where(record.environment), "misc": dict(_misc(cell))},
        "log_excerpt": _clean(f"{result(cell)}: {cause(cell)}")[:16384],
        "misc": {
            "expected": cell.expectation.word if cell.expectation else None,
            "verdict": verdict.kind if verdict else None,
            "again": cell.rerun,
        },
    }
    if verdict is not None and verdict.longest_silence_ms is not None:
        value = verdict.longest_silence_ms / 1000
        test["number"] = {"value": value, "unit": "s", "prefix": "metric"}
    return test


def _status(status: Status, cell: CellRecord) -> str:
    if status is Status.ERROR and cell.outcome is Outcome.ERROR and cell.verdict is None:
        return "MISS"  # it was not even run
    return _STATUS[status]


def _beside(record: RunRecord, each: Classified) -> dict[str, object]:
    """Return what is no cell that ran: a test beside them, a cell without a record, the run."""
    file, _, name = each.name.partition("::")
    parts = ["caretaker", "beside", file.removesuffix(".py").replace("/", "_"), name]
    if each.record is None:
        parts = ["caretaker", each.name if each.name in {RUN, LADDER} else "must-run"]
    return {
        "id": f"{ORIGIN}:{_clean(record.run_id)}/{_clean(each.name)}",
        "build_id": _id("build", _NO_BUILD, None),
        "origin": ORIGIN,
        "path": _joined(parts),
        "comment": _clean(each.name),
        "status": _STATUS[each.status],
        "start_time": record.started.isoformat(timespec="seconds"),
        "duration": each.record.duration_s if each.record else 0.0,
        "environment": {"comment": _where(record.environment)},
        "log_excerpt": _clean(f"{each.status}: {why(each)}")[:16384],
    }


def _path(cell: CellRecord) -> str:
    place, wanted = cell.dimensions, cell.expectation
    shows = _SHOWS.get(wanted.kind, "silence") if wanted else "silence"
    if wanted and wanted.scope is Scope.MEMORY:
        shows = "memory" if shows == "silence" else f"memory_{shows}"
    return _joined(
        ["caretaker", place.get("disruption"), place.get("guest"), place.get("vmm"), shows]
    )


def _joined(parts: Iterable[object]) -> str:
    clean = (_NOT_A_PATH.sub("_", str(part)).strip("_") for part in parts if part)
    return ".".join(part for part in clean if part)


def _misc(cell: CellRecord) -> Iterator[tuple[str, object]]:
    yield from ((name, value) for name, value in cell.dimensions.items() if value not in {None, ""})


def _where(environment: EnvironmentRecord) -> str:
    accelerators: Mapping[str, str] = {a: x.name for a, x in environment.accelerators.items()}
    text = ", ".join(f"{arch} on {name}" for arch, name in accelerators.items())
    return _clean(f"{environment.cpu_model or 'unknown CPU'}; {text or 'unknown accelerator'}")


def _id(kind: str, name: str, kernel: KernelRecord | None) -> str:
    mark = (kernel.build_id or kernel.digest) if kernel else "unknown"
    return f"{ORIGIN}:{kind}/{_clean(name).replace(' ', '/')}/{_clean(mark)}"


def _clean(text: str) -> str:
    return text.replace("\0", "\ufffd")
