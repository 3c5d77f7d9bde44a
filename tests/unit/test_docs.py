# SPDX-License-Identifier: Apache-2.0
"""The documents say what is there: links lead somewhere, references are fresh, commands parse."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from docs.tools import generate, package_graph
from docs.tools.command_line import mistake
from docs.tools.commands import wrong_with
from docs.tools.pages import ROOT, Page, dead_links, page_of, pages, slug_of
from lab.config.load import load_lab, load_topologies
from lab.config.matrix import expand
from lab.record.files import load
from lab.verdict.verdict import Check

PAGES = {page.name: page for page in pages()}
COMMANDS = sorted({line for page in PAGES.values() for line in page.commands})
CELL_ID = re.compile(r"\b(?:x86_64|arm64)-tcg-[\w-]+\b")


def page(tmp_path: Path, text: str) -> Page:
    (tmp_path / "there.md").write_text(
        "# One\n## Two words, and `code`\n## One\n", encoding="utf-8"
    )
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    return page_of(tmp_path / "page.md")


@pytest.mark.parametrize("name", PAGES)
def test_no_internal_link_is_dead(name: str) -> None:
    assert dead_links(PAGES[name]) == []


@pytest.mark.parametrize(
    ("link", "dead"),
    [
        ("there.md", False),
        ("there.md#two-words-and-code", False),
        ("there.md#one-1", False),
        ("https://example.org/x", False),
        ("#here", False),
        ("elsewhere.md", True),
        ("there.md#three", True),
        ("#there", True),
        ("there.md#one-2", True),
    ],
)
def test_a_dead_link_is_found(tmp_path: Path, link: str, dead: bool) -> None:
    assert dead_links(page(tmp_path, f"# Here\n[text]({link})\n")) == [link] * dead


def test_a_dead_picture_is_found(tmp_path: Path) -> None:
    assert dead_links(page(tmp_path, "![picture](none.svg)\n")) == ["none.svg"]


def test_anchors_are_those_of_github() -> None:
    assert (
        slug_of("What L0's eye sees: a page, [x] and `y_z`") == "what-l0s-eye-sees-a-page-x-and-y_z"
    )


@pytest.mark.parametrize("name", generate.outputs())
def test_no_generated_reference_is_stale(name: str) -> None:
    fresh = generate.outputs()[name]
    assert (ROOT / name).read_text(encoding="utf-8") == fresh, f"type: {generate.COMMAND}"


def test_a_stale_reference_is_named(tmp_path: Path) -> None:
    for name, text in generate.outputs().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    assert generate.stale(tmp_path) == []
    (tmp_path / "docs/reference/cli.md").write_text("old", encoding="utf-8")
    (tmp_path / "docs/man/lab.1").unlink()
    assert generate.stale(tmp_path) == ["docs/reference/cli.md", "docs/man/lab.1"]


def test_every_import_between_packages_goes_down() -> None:
    packages = package_graph.of_the_lab()
    row = {name: i for i, layer in enumerate(packages.layers) for name in layer}
    imports = [(one, other) for one, all_ in packages.imports.items() for other in all_]
    assert imports
    assert [pair for pair in imports if row[pair[0]] >= row[pair[1]]] == []


def test_the_schema_of_run_json_takes_a_stored_run() -> None:
    text = json.loads(generate.run_schema())
    jsonschema.Draft202012Validator.check_schema(text)
    schema = jsonschema.Draft202012Validator(text)
    run = load(ROOT / "tests/golden/record/run-v3.json")
    schema.validate(run.model_dump(mode="json"))
    assert not schema.is_valid({**run.model_dump(mode="json"), "cells": "none"})


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_that_is_shown_parses(line: str) -> None:
    assert wrong_with(line) == ""


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("lab up x86_64-one-host", ""),
        ("LAB_DEBUG=1 lab --debug status --json && lab down", ""),
        ("lab run -d vmm-kill --expect dies", ""),
        ("lab run -d vmm-kil", "vmm-kil"),
        ("lab rum", "rum"),
        ("lab run", ""),
        ("lab run x86_64-tcg-stock-linux-qemu-vmm_kill --dry-run", ""),
        ("lab run -d vmm-kill --orphaning asink", "asink"),
        ("lab status --yaml", "--yaml"),
        ("lab kernel each-patch --fast", "--fast"),
        ("make lab-up", ""),
        ("make lab-upp", "lab-upp"),
        ("pytest topologies -k 'a and b' --lab-tier=nightly -n 2", ""),
        ("pytest topologies --lab-tire=nightly", "--lab-tire"),
        ("pytest topology", "topology"),
        ("git bisect run lab run --disruptoin kexec", ""),
        ("make install && lab upp", "upp"),
        ("echo 'unbalanced", "cannot read"),
    ],
)
def test_a_command_is_parsed_by_what_would_run_it(line: str, complaint: str) -> None:
    said = wrong_with(line)
    assert complaint in said
    assert bool(said) == bool(complaint)


def test_parsing_a_command_runs_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert mistake(["lab", "report", "--open"]) == ""
    assert capsys.readouterr().out == ""


def test_every_cell_that_is_named_is_in_the_ladder() -> None:
    lab = load_lab(ROOT / "lab.toml")
    known = {
        cell.id for cell in expand(load_topologies(ROOT / "topologies", lab), lab, accel="tcg")
    }
    shown = {cell for line in COMMANDS for cell in CELL_ID.findall(line)}
    assert shown <= known


def test_every_check_of_the_judge_is_in_the_theory() -> None:
    text = (ROOT / "docs/verdict.md").read_text(encoding="utf-8")
    table = text.partition("## Checks")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`([\w-]+)`", " ".join(rows))) == sorted(Check)


def test_the_readme_is_a_front_door() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 80
    assert [line for line in lines if len(line) > 100] == []
