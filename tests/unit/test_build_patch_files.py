# SPDX-License-Identifier: Apache-2.0
"""Patches as people have them: all are applied, or it is said which is not."""

from __future__ import annotations

import base64
import gzip
import quopri
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab.build.patch_files import listed
from lab.build.patching import patch_in_order
from lab.errors import ConfigError

MAIL = """From 0123456789012345678901234567890123456789 Mon Sep 17 00:00:00 2001
From: A Developer <dev@example.org>
Date: Mon, 1 Dec 2025 10:00:00 +0000
Subject: [PATCH] init: Say more
{headers}
Why.

---
{diff}--{space}
2.39.5

"""


def diff(old: str, new: str) -> str:
    return f"--- a/file\n+++ b/file\n@@ -1 +1 @@\n-{old}\n+{new}\n"


def mail(body: str, headers: str = "") -> str:
    return MAIL.format(headers=headers, diff=body, space=" ")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "linux").mkdir()
    (tmp_path / "linux/file").write_text("1\n")
    return tmp_path / "linux"


def folder(tmp_path: Path, files: Mapping[str, str | bytes]) -> Path:
    for name, text in files.items():
        path = tmp_path / "patches" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
    return tmp_path / "patches"


def after(tree: Path, *paths: Path) -> str:
    patch_in_order(tree, list(listed(paths)))
    return (tree / "file").read_text()


@pytest.mark.parametrize(
    "names",
    [
        ("a.patch", "b.patch"),
        ("a.diff", "b.diff"),
        ("0001-init-Say-more", "0002-init-Say-yet-more"),
        ("2-two.patch", "10-ten.patch"),
        ("v3_first", "v3_second"),
    ],
)
def test_a_folder_is_applied_whatever_its_files_are_called(
    tree: Path, tmp_path: Path, names: tuple[str, str]
) -> None:
    patches = folder(tmp_path, {names[0]: diff("1", "2"), names[1]: diff("2", "3")})
    assert after(tree, patches) == "3\n"


def test_what_is_no_patch_is_left_out(tree: Path, tmp_path: Path) -> None:
    files = {
        "0000-cover-letter.patch": "Subject: [PATCH 0/1] More\n\n file | 2 +-\n",
        "0001-more.patch": mail(diff("1", "2")),
        "0001-more.patch~": diff("1", "9"),
        ".0001-more.patch.swp": diff("1", "9"),
        "README": "What this is.\n",
    }
    assert after(tree, folder(tmp_path, files)) == "2\n"


def test_a_quilt_series_says_which_and_in_which_order(tree: Path, tmp_path: Path) -> None:
    files = {
        "series": "# mine\nz.patch -p1\n\nsub/a.patch # then\n",
        "z.patch": diff("1", "2"),
        "sub/a.patch": diff("2", "3"),
        "left-out.patch": diff("3", "4"),
    }
    assert after(tree, folder(tmp_path, files)) == "3\n"


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ("gone.patch\n", "series:1: there is no patch 'gone.patch'"),
        ("\na.patch -p0\n", "series:2: 'a.patch -p0': patches are applied with -p1 only"),
        ("# none\n", "names no patch"),
    ],
)
def test_a_series_that_cannot_be_followed_is_said(tmp_path: Path, series: str, said: str) -> None:
    patches = folder(tmp_path, {"series": series, "a.patch": diff("1", "2")})
    with pytest.raises(ConfigError, match=said):
        list(listed([patches]))


def test_a_mailbox_is_decoded_and_applied_mail_by_mail(tree: Path, tmp_path: Path) -> None:
    encoded = diff("2", "3 = three \N{EN DASH}")
    quoted = quopri.encodestring(encoded.encode()).decode()
    kind = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: "
    packed = base64.encodebytes(diff("3 = three \N{EN DASH}", "4").encode()).decode()
    box = (
        mail(" file | 2 +-\n")
        + mail(diff("1", "2"))
        + mail(quoted, kind + "quoted-printable\n")
        + mail("", kind + "base64\n").partition("Why.")[0] + packed + "\n"
        + mail("> " + diff("1", "2").replace("\n", "\n> ") + "\nLooks good.\n")
    )  # fmt: skip
    assert after(tree, folder(tmp_path, {"thread.mbx": box})) == "4\n"


def test_a_mail_as_it_was_sent_is_applied(tree: Path, tmp_path: Path) -> None:
    raw = mail(diff("1", "2")).partition("\n")[2].replace("\n", "\r\n")
    assert after(tree, folder(tmp_path, {"one.eml": raw})) == "2\n"


def test_a_packed_patch_is_unpacked(tree: Path, tmp_path: Path) -> None:
    packed = gzip.compress(diff("1", "2").encode())
    assert after(tree, folder(tmp_path, {"patch-7.3.1.patch.gz": packed})) == "2\n"


@pytest.mark.parametrize("files", [{"README": "none yet\n"}, {"notes.md": diff("1", "2")}])
def test_a_folder_without_a_patch_is_an_error(tmp_path: Path, files: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"no patch is in that folder \(there is: "):
        list(listed([folder(tmp_path, files)]))


def test_patches_in_folders_of_a_folder_have_no_order(tmp_path: Path) -> None:
    patches = folder(tmp_path, {"a.patch": diff("1", "2"), "net/b.patch": diff("2", "3")})
    with pytest.raises(ConfigError, match=r"in no known order: 'net/b\.patch'"):
        list(listed([patches]))


@pytest.mark.parametrize("name", ["empty.patch", "0001-empty", "empty.mbx", "cut.patch.gz"])
def test_a_patch_file_that_holds_none_is_an_error(tree: Path, tmp_path: Path, name: str) -> None:
    patches = folder(tmp_path, {name: "", "z.patch": diff("1", "2")})
    with pytest.raises(ConfigError, match=name):
        after(tree, patches)
