# SPDX-License-Identifier: Apache-2.0
"""Every output that a restructuring must leave alone: the ladder, what runs are made into, help.

`python -m tests.support.frozen_outputs` writes the goldens; `test_frozen_outputs` compares.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from typer.main import get_command

from lab.cli.app import app
from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand
from lab.history.trend import Past
from lab.record import files
from lab.record.plan import planned
from lab.report.junit import junit_xml
from lab.report.kcidb import kcidb_json
from lab.report.ktap import results_ktap
from lab.report.page import pages
from lab.report.summary import summary_md

HERE = Path(__file__).parents[1] / "golden"
GOLDENS = HERE / "frozen"
RUNS = ("run-v1", "run-v3")
HELP = "help.txt"


def outputs() -> Iterator[tuple[str, str]]:
    """Yield (file name below `GOLDENS`, text) of each output."""
    yield HELP, "\n".join(_helps(get_command(app), "lab", None))
    yield "ladder.json", _ladder()
    for run in RUNS:
        record = files.load(HERE / "record" / f"{run}.json")
        if run == "run-v1":  # brought up to today's schema; run-v3 is stored in it
            yield f"{run}.json", record.model_dump_json(indent=1) + "\n"
        yield f"{run}.junit.xml", junit_xml(record)
        yield f"{run}.ktap", results_ktap(record)
        yield f"{run}.kcidb.json", kcidb_json(record)
        yield f"{run}.summary.md", summary_md(record, Past())
        for name, page in pages(record, Past()):
            yield f"{run}.{name}.txt", text_of(page)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self._skipped = 0

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self._skipped += tag in {"style", "script"}

    def handle_endtag(self, tag: str) -> None:
        self._skipped -= tag in {"style", "script"}

    def handle_data(self, data: str) -> None:
        if not self._skipped and data.strip():
            self.lines.append(" ".join(data.split()))


def text_of(page: str) -> str:
    """Return the text of an HTML page, a line for each run of it."""
    parser = _Text()
    parser.feed(page)
    return "\n".join(parser.lines) + "\n"


def _helps(command: Any, name: str, parent: Any, above: str = "") -> Iterator[str]:
    context = command.make_context(name, [], parent=parent, resilient_parsing=True)
    yield f"## {above}{name}\n{command.get_help(context)}\n"
    group = f"{above}{name} " if parent else ""  # 'lab' itself goes without saying
    for one, each in getattr(command, "commands", {}).items():
        yield from _helps(each, one, context, group)


def sections(text: str) -> dict[str, str]:
    """Return the help of each command by its name: what follows '## NAME'."""
    parts = text.split("## ")[1:]
    return {name: body for name, _, body in (part.partition("\n") for part in parts)}


def renames() -> dict[str, Any]:
    """Return what an output may have changed since its golden was written."""
    return tomllib.loads((GOLDENS / "renames.toml").read_text(encoding="utf-8"))


def with_changes(name: str, changes: Iterable[dict[str, str]]) -> str:
    """Return the golden `name` with words replaced; each change must find its words."""
    text = (GOLDENS / name).read_text(encoding="utf-8")
    for change in changes:
        if change["file"] in {name, "*"}:
            assert change["old"] in text or change["file"] == "*", f"unused: {change}"
            text = text.replace(change["old"], change["new"])
    return text


def _ladder() -> str:
    root = Path(__file__).parents[2]
    lab = load_lab(root / "lab.toml")
    cells = expand(load_topologies(root / "topologies", lab), lab, accel="tcg")
    return "".join(planned(cell).model_dump_json() + "\n" for cell in cells)


def write() -> None:
    """Write the goldens anew."""
    GOLDENS.mkdir(exist_ok=True)
    for name, text in outputs():
        (GOLDENS / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write()
