# SPDX-License-Identifier: Apache-2.0
"""A suite that uses nothing of the lab does not pay for it, though pytest loads the plugin."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
HEAVY = ("libvirt", "paramiko", "jinja2", "pydantic", "elftools", "lab.config", "lab.runner")
CONFTEST = f"""
import sys

def pytest_sessionfinish():
    print("LOADED", [name for name in {HEAVY!r} if name in sys.modules])
    print("PLUGIN", "lab.pytest_plugin" in sys.modules)
"""
BESIDE = "import pytest\n\n@pytest.mark.tier('soak')\ndef test_it(): pass\n"


def run(*words: str, cwd: Path = CHECKOUT) -> str:
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT)},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.stdout + done.stderr


def test_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import sys, lab.pytest_plugin, lab.pytest_plugin.hosts\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    assert run("-c", code) == "[]\n"


@pytest.mark.parametrize(
    ("test", "options", "loaded"),
    [
        ("def test_it(tmp_path): pass\n", [], "LOADED []"),
        ("def test_it(tmp_path): pass\n", ["--lab-tier=nightly"], "'lab.config'"),
        ("def test_it(cells): pass\n", ["--collect-only"], "'lab.config'"),
        ("def test_it(lab_host): pass\n", ["--collect-only"], "'lab.config'"),
    ],
)
def test_only_a_suite_that_uses_the_lab_loads_it(
    test: str, options: list[str], loaded: str, tmp_path: Path
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST, encoding="utf-8")
    (tmp_path / "test_own.py").write_text(test, encoding="utf-8")
    said = run("-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", *options, cwd=tmp_path)
    assert "PLUGIN True" in said, said
    assert loaded in said, said
    assert "1 passed" in said or "1 test collected" in said, said


def test_a_tier_counts_where_no_test_takes_a_cell(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(BESIDE, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --strict-markers\n", encoding="utf-8")
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert "1 deselected" in run(*words, cwd=tmp_path)
    assert "1 passed" in run(*words, "--lab-tier=soak", cwd=tmp_path)
