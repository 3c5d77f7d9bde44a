# SPDX-License-Identifier: Apache-2.0
"""kvm-unit-tests: its source by path or git ref, compiled, and what its unittests.cfg lists.

Source: scripts/common.bash and scripts/runtime.bash of kvm-unit-tests.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.arch import Architecture, architecture
from lab.build import local_tree, repository
from lab.build.cache import Cache
from lab.build.commands import compiler_of, need, output
from lab.errors import ConfigError, InfraError
from lab.events import Sink, nowhere

UPSTREAM = "https://gitlab.com/kvm-unit-tests/kvm-unit-tests.git"
_CONFIG = "unittests.cfg"
_NEEDS_MIB = 400
_KEY = re.compile(r"(\w+)\s*=\s*(.*)")
_LONG = '"""'  # a value of several lines is between two of these
_FOLDERS = {"x86_64": "x86", "arm64": "arm"}


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTest:
    """One section of unittests.cfg.

    Attributes:
        name: The section.
        image: The guest that is booted, compiled.
        smp: QEMU's -smp, as a shell evaluates it.
        params: More of QEMU's command line, as a shell evaluates it.
        groups: Its groups: "nodefault" is not run unless it is asked for by name.
        check: "FILE=VALUE", several with blanks between: what the host has to have.
        accel: "kvm" or "tcg", where it runs on one only; properties may follow.
        timeout: How long it may take, as timeout(1) reads it; "" for the usual.
        disabled_if: A condition of bash's by which it is skipped.
    """

    name: str
    image: Path
    smp: str = "1"
    params: str = ""
    groups: tuple[str, ...] = ()
    check: str = ""
    accel: str = ""
    timeout: str = ""
    disabled_if: str = ""


def build(where: str, arch: str, cache: Cache, *, sink: Sink = nowhere) -> tuple[UnitTest, ...]:
    """Compile kvm-unit-tests, or find them compiled.

    Args:
        where: A folder, or "REPOSITORY#REF" of git.
        arch: "x86_64" or "arm64".
        cache: Where it is cached.
        sink: Receives the steps.

    Returns:
        The tests for this architecture, in the order of unittests.cfg.

    Raises:
        ConfigError: There is no such source, or it is not kvm-unit-tests.
        InfraError: It does not compile.
    """
    made_for = architecture(arch)
    source = _source_of(where)
    compiler = compiler_of(made_for)
    path = cache.entry(
        "kvm-unit-tests",
        {"layout": 1, "arch": arch, "source": source.digest, "compiler": Path(compiler).name},
        lambda out: _make(source, made_for, compiler, out),
        what=f"kvm-unit-tests of {where} for {arch}",
        usually_s=120,
        sink=sink,
        needs_mib=_NEEDS_MIB,
    )
    return tuple(
        unit_tests_of((path / _CONFIG).read_text(encoding="utf-8"), path / "tests", made_for)
    )


def unit_tests_of(config: str, images: Path, made_for: Architecture) -> Iterator[UnitTest]:
    """Parse unittests.cfg.

    Args:
        config: Its text.
        images: The folder of the compiled guests.
        made_for: The architecture; sections for another are left out.

    Yields:
        A test for each section.

    Raises:
        ConfigError: A section has no `file`.
    """
    for name, keys in _sections(config):
        if keys.get("arch", made_for.name) != made_for.name:
            continue
        if "file" not in keys:
            raise ConfigError(f"{_CONFIG}: [{name}] has no 'file'")
        # Newer trees have two halves of what older ones call extra_params.
        words = [keys.get("extra_params", ""), keys.get("qemu_params", "")]
        if arguments := keys.get("test_args", ""):
            words.append(f"-append {arguments}")
        yield UnitTest(
            name=name,
            image=images / Path(keys["file"]).name,
            smp=keys.get("smp", "1"),
            params=" ".join(word for word in words if word),
            groups=tuple(keys.get("groups", "").split()),
            check=keys.get("check", ""),
            accel=keys.get("accel", ""),
            timeout=keys.get("timeout", ""),
            disabled_if=keys.get("disabled_if", ""),
        )


@dataclass(frozen=True, slots=True)
class _Source:
    digest: str
    folder: Path | None = None
    url: str = ""
    ref: str = ""
    commit: str = ""

    def put(self, into: Path) -> None:
        if self.folder:
            local_tree.copy(self.folder, into)
        else:
            repository.check_out(self.url, self.ref, self.commit, into)


def _source_of(where: str) -> _Source:
    folder = Path(where).expanduser()
    if folder.is_dir():
        if not (folder / "configure").is_file() or not (folder / "lib/libcflat.h").is_file():
            raise ConfigError(
                f"'{where}' is not kvm-unit-tests: it has no 'configure' and 'lib/libcflat.h'"
            )
        folder = folder.resolve()
        return _Source(local_tree.signature(folder, local_tree.files_of(folder)), folder)
    url, hash_sign, ref = where.rpartition("#")
    if not hash_sign or not ref:
        raise ConfigError(
            f"'{where}' is neither a folder nor a git repository with a ref",
            hint=f"as in: --source={UPSTREAM}#master",
        )
    need("git", package="git")
    commit = repository.commit_of(str(Path(url).expanduser()) if url[:1] == "~" else url, ref)
    return _Source(commit, url=url, ref=ref, commit=commit)


def _make(source: _Source, made_for: Architecture, compiler: str, out: Path) -> None:
    tree, tests = out / "src", out / "tests"
    source.put(tree)
    folder = tree / _FOLDERS[made_for.name]
    if not (tree / "configure").is_file() or not (folder / _CONFIG).is_file():
        raise ConfigError(f"{source.url or source.folder} has no {folder.name}/{_CONFIG}")
    doing = f"compiling kvm-unit-tests for {made_for.name}"
    cross = compiler.removesuffix("gcc") if compiler.endswith("-gcc") else ""
    words = [f"--arch={made_for.name}", *([f"--cross-prefix={cross}"] if cross else [])]
    output(
        ["./configure", *words], doing=f"configuring kvm-unit-tests for {made_for.name}", cwd=tree
    )
    output([need("make", package="make"), "-s", f"-j{os.cpu_count() or 1}"], doing=doing, cwd=tree)
    shutil.copyfile(folder / _CONFIG, out / _CONFIG)
    tests.mkdir()
    for one in unit_tests_of((out / _CONFIG).read_text(encoding="utf-8"), folder, made_for):
        if not one.image.is_file():
            raise InfraError(f"the unit test {one.name} is in {_CONFIG}, but was not built")
        shutil.copyfile(one.image, tests / one.image.name)
    shutil.rmtree(tree)


def _sections(config: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    name, keys = "", dict[str, str]()
    lines = iter(config.splitlines())
    for line in lines:
        text = line.strip()
        if text.startswith("[") and text.endswith("]"):
            if name:
                yield name, keys
            name, keys = text[1:-1], {}
        elif match := _KEY.fullmatch(text):
            value = match[2]
            if value.startswith(_LONG):
                value = _long(value.removeprefix(_LONG), lines)
            keys[match[1]] = value.strip()
    if name:
        yield name, keys


def _long(first: str, lines: Iterator[str]) -> str:
    parts, text = [], first
    while not text.rstrip().endswith(_LONG):
        parts.append(text)
        text = next(lines, _LONG)
    return "\n".join([*parts, text.rstrip().removesuffix(_LONG)])
