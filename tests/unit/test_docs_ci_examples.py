# SPDX-License-Identifier: Apache-2.0
"""The examples for CIs are what their vendors' schemas take, and their commands can be typed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from ruamel.yaml import YAML

from docs.tools.commands import wrong_with

EXAMPLES = Path(__file__).parents[2] / "docs/examples/ci"
KUBERNETES = "1.33"  # the first in which backoffLimitPerIndex is stable
BUILTIN = {
    "github-actions.yml": ["vendor.github-workflows"],
    "gitlab-ci.yml": ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"],
}
_COMMAND = re.compile(r"(?:\.venv/bin/)?(?:pytest topologies|lab merge|make install)[^\n'\"]*")


def commands() -> Iterator[tuple[str, str]]:
    for path in sorted(EXAMPLES.iterdir()):
        for found in _COMMAND.finditer(path.read_text(encoding="utf-8")):
            line = found[0].replace("$which", "--lab-resume=last")
            line = re.sub(r" (#|//|&&|\|\|) .*", "", line)
            line = re.sub(r"\$\{\{ [\w.-]+ \}\}|\$\w+", "1", line).replace("/shard1", "")
            yield path.name, line.strip()


def refused(path: Path, schema: list[str]) -> bool:
    words = ["check_jsonschema", "--builtin-schema", *schema, str(path)]
    said = subprocess.run(
        [sys.executable, "-m", *words], capture_output=True, text=True, check=False, timeout=60
    )
    assert said.returncode in {0, 1}, said.stderr
    return said.returncode == 1


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("github-actions.yml", "runs-on: ubuntu-24.04", "runs_on: ubuntu-24.04"),
        ("github-actions.yml", "fail-fast: false", "fail_fast: false"),
        ("gitlab-ci.yml", "parallel: 4", "parallel: 4000"),
        ("gitlab-ci.yml", "policy: push", "policy: shove"),
    ],
)
def test_a_vendored_schema_takes_it_and_no_mistake(
    tmp_path: Path, name: str, was: str, now: str
) -> None:
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    assert not refused(EXAMPLES / name, BUILTIN[name])
    assert was in text
    (tmp_path / name).write_text(text.replace(was, now), encoding="utf-8")
    assert refused(tmp_path / name, BUILTIN[name])


def job() -> Any:
    return YAML(typ="safe").load((EXAMPLES / "kubernetes-job.yaml").read_text(encoding="utf-8"))


def test_kubernetes_takes_the_job_strictly() -> None:
    kubernetes_validate.validate(job(), KUBERNETES, strict=True)


@pytest.mark.parametrize(
    ("key", "value"),
    [("completions", "four"), ("completionsMode", "Indexed"), ("parallelism", "all")],
)
def test_kubernetes_refuses_a_job_with_a_mistake(key: str, value: object) -> None:
    wrong = job()
    wrong["spec"][key] = value
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, KUBERNETES, strict=True)


@pytest.mark.parametrize("line", dict.fromkeys(line for _, line in commands()))
def test_a_command_of_an_example_can_be_typed(line: str) -> None:
    assert wrong_with(line) == ""


def test_every_example_cuts_and_merges() -> None:
    told: dict[str, str] = {}
    for name, line in commands():
        told[name] = f"{told.get(name, '')}\n{line}"
    assert {*told} == {path.name for path in EXAMPLES.iterdir()}
    for lines in told.values():
        assert "--lab-shard=" in lines
        assert "lab merge" in lines


def test_the_number_of_shards_is_the_same_everywhere() -> None:
    read = YAML(typ="safe").load
    text = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.iterdir()}
    assert read(text["github-actions.yml"])["jobs"]["shard"]["strategy"]["matrix"]["shard"] == [
        *range(1, 5)
    ]
    spec = job()["spec"]
    script = spec["template"]["spec"]["containers"][0]["command"][-1]
    assert spec["completions"] == spec["parallelism"] == 4
    assert "--lab-shard=$shard/4" in script
    assert "shard=$((JOB_COMPLETION_INDEX + 1))" in script
