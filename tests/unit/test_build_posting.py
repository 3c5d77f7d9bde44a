# SPDX-License-Identifier: Apache-2.0
"""A recipe as mails: they make what it builds, an option comes last, and nothing is left out."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lab.build import posting
from lab.config.load import read
from lab.config.posting import SeriesPlan
from lab.errors import ConfigError

RECIPE = Path(__file__).parents[2] / "guest-images/kernels/reference"
KCONFIG = "config KVM\n\tbool\n"
MAIL = """From 0000000000000000000000000000000000000000 Mon Sep 17 00:00:00 2001
From: A Writer <writer@example.org>
Date: Tue, 24 Nov 2026 01:49:39 +0000
Subject: [PATCH] {subject}

Why it is so.

Signed-off-by: A Writer <writer@example.org>
---
"""
HOOKS = (
    MAIL.format(subject="kvm: Call what will be there")
    + """
diff --git a/Kconfig b/Kconfig
--- a/Kconfig
+++ b/Kconfig
@@ -1,2 +1,4 @@
 config KVM
 \tbool
+config OWN
+\tbool "Own"
diff --git a/kvm.c b/kvm.c
--- a/kvm.c
+++ b/kvm.c
@@ -1 +1,2 @@
 int kvm;
+int hook;
"""
)
DEBUG = (
    MAIL.format(subject="kvm: Break it")
    + """
diff --git a/kvm.c b/kvm.c
--- a/kvm.c
+++ b/kvm.c
@@ -1,2 +1,3 @@
 int kvm;
 int hook;
+int broken;
"""
)
PLAN = """
held = ["Kconfig"]
last = ["0001"]

[cover]
subject = "A series"
text = "It does things."

[[commit]]
after = "0002"
subject = "kvm: Add what is called"
message = "And with it the option."
files = ["own*.c"]
offers = ["0002"]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    files = {
        "linux/Kconfig": KCONFIG,
        "linux/kvm.c": "int kvm;\n",
        "linux/untouched.c": "int no;\n",
        "tree/own.c": "int own;\n",
        "patches/0002-hooks.patch": HOOKS,
        "patches/0001-debug.patch": DEBUG,
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def written(home: Path, plan: str = PLAN) -> list[Path]:
    (home / "series.toml").write_text(plan)
    patches = [home / "patches/0002-hooks.patch", home / "patches/0001-debug.patch"]
    made = read(home / "series.toml", SeriesPlan)
    return posting.write(home / "linux", patches, home / "tree", made, home / "out")


def git(home: Path, *arguments: str | Path) -> str:
    apart = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    name = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(home / "linux"), *name, *map(str, arguments)]
    return subprocess.run(command, env=apart, check=True, capture_output=True, text=True).stdout


def test_git_am_takes_the_series_and_the_option_comes_with_the_files(home: Path) -> None:
    mails = written(home)
    git(home, "init", "-q")
    git(home, "add", "-A")
    git(home, "commit", "-qm", "linux")
    git(home, "am", "-q", mails[0])
    assert (home / "linux/kvm.c").read_text() == "int kvm;\nint hook;\n"
    assert (home / "linux/Kconfig").read_text() == KCONFIG
    git(home, "am", "-q", mails[1])
    assert (home / "linux/own.c").read_text() == "int own;\n"
    assert "config OWN" in (home / "linux/Kconfig").read_text()
    git(home, "am", "-q", mails[2])
    assert "broken" in (home / "linux/kvm.c").read_text()
    assert git(home, "log", "-1", "--format=%s %an %aI", "HEAD~2").split("\n")[0] == (
        "kvm: Call what will be there A Writer 2026-11-24T01:49:39+00:00"
    )
    assert git(home, "log", "-1", "--format=%s", "HEAD~1").strip() == "kvm: Add what is called"


def test_the_cover_letter_has_the_plans_words(home: Path) -> None:
    written(home)
    (letter,) = (home / "out").glob("0000-*")
    text = letter.read_text()
    assert "[PATCH 0/3] A series" in text
    assert "It does things." in text
    assert "***" not in text


def test_the_same_series_has_the_same_bytes(home: Path) -> None:
    first = [mail.read_bytes() for mail in written(home)]
    (home / "out").rename(home / "before")
    assert [mail.read_bytes() for mail in written(home)] == first


@pytest.mark.parametrize(
    ("what", "instead", "said"),
    [
        ('["own*.c"]', '["other.c"]', "'kvm: Add what is called' has no file"),
        ('after = "0002"', 'after = "0007"', "no patch's name begins with '0007'"),
        ('offers = ["0002"]', "", "no commit offers what is held back of: 0002-hooks.patch"),
        ('held = ["Kconfig"]', "", "nothing is held back of '0002-hooks.patch'"),
        ("[[commit]]", "[[commit]]\nunknown = 1", "unknown"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(
    home: Path, what: str, instead: str, said: str
) -> None:
    assert PLAN.count(what) == 1
    with pytest.raises(ConfigError, match=said.replace("[", r"\[")):
        written(home, PLAN.replace(what, instead))


def test_a_file_that_no_commit_has_is_named(home: Path) -> None:
    (home / "tree/more.c").write_text("int more;\n")
    with pytest.raises(ConfigError, match=r"no commit has these files of the tree: more\.c"):
        written(home)


def test_a_series_that_makes_something_else_is_refused(home: Path) -> None:
    """By its place the file comes after a patch that changes it, and that would be undone."""
    (home / "tree/kvm.c").write_text("int mine;\n")
    with pytest.raises(ConfigError, match=r"not taken by git am|does not make what the recipe"):
        written(home, PLAN.replace('"own*.c"', '"own*.c", "kvm.c"'))


def test_a_folder_with_files_is_left_alone(home: Path) -> None:
    (home / "out").mkdir()
    (home / "out/mine").write_text("")
    with pytest.raises(ConfigError, match="not an empty folder"):
        written(home)


def test_a_patch_that_is_no_mail_is_named(home: Path) -> None:
    (home / "patches/0002-hooks.patch").write_text(HOOKS.partition("---\n")[2])
    with pytest.raises(ConfigError, match=r"'0002-hooks\.patch' is not taken by git am"):
        written(home)


def test_the_reference_recipes_series_makes_what_it_builds(tmp_path: Path) -> None:
    cache = Path(os.environ.get("LAB_CACHE", "/var/cache/caretaker-lab"))
    source = next((t for t in sorted(cache.glob("source/*/tree")) if _is_base(t)), None)
    if source is None:
        pytest.skip(f"no source of the kernel in '{cache}': lab kernel build reference fetches it")
    plan = read(RECIPE / "series.toml", SeriesPlan)
    patches = sorted((RECIPE / "patches").glob("*.patch"))
    mails = posting.write(source, patches, RECIPE / "tree", plan, tmp_path / "out")
    assert len(mails) == len(patches) + len(plan.commit)
    assert "mutant" in mails[-1].name


def _is_base(tree: Path) -> bool:
    head = (tree / "Makefile").read_text(encoding="utf-8")[:300]
    return "VERSION = 7\nPATCHLEVEL = 3\n" in head
