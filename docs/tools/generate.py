# SPDX-License-Identifier: Apache-2.0
"""Writes every generated file of docs/, or says which are stale: see `main`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from docs.tools import command_line, models, package_graph
from lab.record.model import SCHEMA_VERSION, RunRecord

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "make docs-generated"
NOTE = f"<!-- Generated from the code by `{COMMAND}`: do not edit. -->\n"


def outputs() -> dict[str, str]:
    """Return the text of each generated file, by its path in the repository."""
    graph = package_graph.of_the_lab()
    return {
        "docs/reference/lab-toml.md": NOTE + models.lab_toml(),
        "docs/reference/topology.md": NOTE + models.topology(),
        "docs/reference/cli.md": NOTE + command_line.reference(),
        "docs/reference/packages.md": NOTE + package_graph.table(graph),
        "docs/reference/packages.svg": package_graph.svg(graph),
        "docs/reference/run.schema.json": run_schema(),
        "docs/man/lab.1": command_line.manual(),
    }


def run_schema() -> str:
    """Return the JSON Schema of run.json."""
    schema = RunRecord.model_json_schema(mode="serialization")
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$comment": f"Generated from lab/record/model.py by `{COMMAND}`: do not edit.",
        "title": f"run.json of Caretaker Lab, schema_version {SCHEMA_VERSION}",
    }
    return (
        json.dumps({**head, **{k: v for k, v in schema.items() if k != "title"}}, indent=1) + "\n"
    )


def stale(root: Path = ROOT) -> list[str]:
    """Name the generated files that are not what the code says."""
    return [
        name
        for name, text in outputs().items()
        if not (root / name).is_file() or (root / name).read_text(encoding="utf-8") != text
    ]


def main(arguments: list[str]) -> int:
    """Write the generated files; with --check, only say which are stale."""
    if arguments == ["--check"]:
        for name in (found := stale()):
            print(f"{name}: stale; type: {COMMAND}")
        return 1 if found else 0
    for name, text in outputs().items():
        (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
