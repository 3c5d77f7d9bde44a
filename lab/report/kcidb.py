# SPDX-License-Identifier: Apache-2.0
"""The run as a KCIDB v5.3 document: what kernel CIs exchange. It is written, and never sent."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from lab.record.classify import Standing, standing
from lab.record.labels import cause, result
from lab.record.model import CellRecord, EnvironmentRecord, KernelRecord, Outcome, RunRecord

ORIGIN = "caretaker_lab"
_NOT_A_PATH = re.compile(r"[^a-zA-Z0-9_-]+")
_STATUS = {
    Standing.EXPECTED: "PASS",
    Standing.PRODUCT: "FAIL",
    Standing.LAB: "ERROR",
    Standing.ABSENT: "SKIP",
}


def kcidb_json(record: RunRecord) -> str:
    """Render a run for KCIDB: kernels are builds, cells are tests, silences are numbers.

    A test there is of one build, so tests beside the cells, which may boot several, are not in it.
    """
    used = dict.fromkeys(_build_of(cell) for cell in record.cells)
    known = record.environment.kernels
    builds = {name: known.get(name) for name in [*used, *known]}
    document = {
        "version": {"major": 5, "minor": 3},
        "checkouts": [_checkout(name, kernel) for name, kernel in builds.items()],
        "builds": [_build(name, kernel) for name, kernel in builds.items()],
        "tests": [_test(record, cell) for cell in record.cells],
    }
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _build_of(cell: CellRecord) -> str:
    """Return the name of a cell's kernel in the environment."""
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


def _test(record: RunRecord, cell: CellRecord) -> dict[str, object]:
    name, verdict = _build_of(cell), cell.verdict
    test: dict[str, object] = {
        "id": f"{ORIGIN}:{_clean(record.run_id)}/{_clean(cell.key)}",
        "build_id": _id("build", name, record.environment.kernels.get(name)),
        "origin": ORIGIN,
        "path": _path(cell),
        "comment": _clean(cell.key),
        "status": _status(cell),
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


def _status(cell: CellRecord) -> str:
    if cell.outcome is Outcome.ERROR and cell.verdict is None:
        return "MISS"  # it was not even run
    return _STATUS[standing(cell)]


def _path(cell: CellRecord) -> str:
    place = cell.dimensions
    parts = ["caretaker", place.get("disruption"), place.get("guest"), place.get("vmm"), "silence"]
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
