# SPDX-License-Identifier: Apache-2.0
"""What a kernel has to be, for a resident vCPU to go on under it: what is read of an image."""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

_KERNEL = Path(__file__).parents[2] / "guest-images/kernels/reference/tree"
_PARTS = ("arch/x86/caretaker", "arch/x86/include", "tools/testing/caretaker")
_FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined"]
_OURS = ("linux/kstrtox.h", "linux/percpu.h", "linux/string.h", "asm/bootparam.h", "asm/cmdline.h",
         "linux/pgtable.h", "linux/minmax.h", "asm/cpuid/api.h")  # fmt: skip
_CMDLINE = "console=ttyS0 kho=on liveupdate=on caretaker=on quiet"

_NONE = "the next kernel has no caretaker"
_OTHER = "the next kernel has a caretaker of another version"
_UNKNOWN = "the caretaker has what the next kernel does not know"
_UNASKED = "the next kernel's command line has no "

pytestmark = pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")


def _built(kernel: Path, out: Path) -> Path:
    empty, program = out / "empty", out / "incoming"
    for name in (*_OURS, "asm/caretaker.h"):
        (empty / name).parent.mkdir(parents=True, exist_ok=True)
        (empty / name).write_text("")
    includes = [f"-I{empty}", f"-I{kernel / 'arch/x86/include'}"]
    source = kernel / "tools/testing/caretaker/kexec_handover.c"
    subprocess.run(["gcc", *_FLAGS, *includes, source, "-o", program], check=True)
    return program


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it once."""
    return _built(_KERNEL, tmp_path_factory.mktemp("incoming"))


def _handover() -> int:
    header = (_KERNEL / "arch/x86/include/asm/caretaker_abi.h").read_text()
    found = re.search(r"CARETAKER_ABI\s+(\d+)", header)
    plus = re.search(r"CARETAKER_HANDOVER\s+\(CARETAKER_ABI << 8 \| (\d+)\)", header)
    assert found
    assert plus
    return int(found[1]) << 8 | int(plus[1])


def _chunk(magic: bytes, *numbers: int) -> bytes:
    return magic + struct.pack(f"<I{len(numbers)}I", 8 + 4 * len(numbers), *numbers)


MINE = _chunk(b"CTAK", _handover())


def image(
    chunks: bytes = MINE,
    *,
    version: int = 0x20F,
    magic: bytes = b"LToP",
    claims: int | None = None,
    sectors: int = 3,
) -> bytes:
    """Make what looks like a bzImage, with these chunks in its kernel_info, and end it there."""
    fixed = magic + struct.pack("<III", 16, 16 + len(chunks) if claims is None else claims, 7)
    start = ((sectors or 4) + 1) * 512
    whole = bytearray(start + 0x40)
    whole[0x1F1] = sectors
    struct.pack_into("<H", whole, 0x206, version)
    struct.pack_into("<I", whole, 0x268, 0x40)
    return bytes(whole) + fixed + chunks


def said(
    program: Path,
    folder: Path,
    content: bytes,
    cmdline: str = _CMDLINE,
    levels: str = "",
    *,
    features: int = 0,
) -> str:
    """Return why nothing could go on under it; "" if it could."""
    (folder / "image").write_bytes(content)
    ran = subprocess.run(
        [program, folder / "image", cmdline, *levels.split()],
        env={**os.environ, "FEATURES": str(features)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


_IMAGES = {
    "mine": (image(), ""),
    "after-another-chunk": (image(_chunk(b"ABCD", 1, 2, 3, 4) + MINE), ""),
    "sectors-by-default": (image(sectors=0), ""),
    "chunk-that-grew": (image(_chunk(b"CTAK", _handover(), 99)), ""),
    "another-version": (image(_chunk(b"CTAK", _handover() + 1)), _OTHER),
    "another-abi": (image(_chunk(b"CTAK", _handover() + 256)), _OTHER),
    "no-chunk": (image(b""), _NONE),
    "another-chunk": (image(_chunk(b"ABCD", 1)), _NONE),
    "chunk-too-small": (image(_chunk(b"CTAK") + struct.pack("<I", _handover())), _NONE),
    "chunk-cut-off": (image(MINE[:-1]), _NONE),
    "chunk-of-nothing": (image(b"ABCD" + bytes(4) + MINE), _NONE),
    "chunk-outside": (image(claims=16), _NONE),
    "claims-more-than-there-is": (image(claims=16 + len(MINE) + 1), _NONE),
    "claims-far-too-much": (image(claims=0xFFFFFFFF), _NONE),
    "no-kernel-info": (image(magic=b"LTop"), _NONE),
    "older-protocol": (image(version=0x20E), _NONE),
    "only-a-header": (image()[:0x26C], _NONE),
    "not-even-that": (image()[:0x26B], _NONE),
    "nothing": (b"", _NONE),
}


@pytest.mark.parametrize("name", _IMAGES)
def test_what_an_image_says_of_itself(program: Path, tmp_path: Path, name: str) -> None:
    content, why = _IMAGES[name]
    assert said(program, tmp_path, content) == why


@pytest.mark.parametrize(
    ("below", "chunk", "why"),
    [
        pytest.param(0, (), "", id="none-and-says-none"),
        pytest.param(0, (0,), "", id="none-and-knows-none"),
        pytest.param(0, (3,), "", id="none-and-knows-more"),
        pytest.param(1, (), _UNKNOWN, id="one-and-says-none"),
        pytest.param(1, (0,), _UNKNOWN, id="one-and-knows-none"),
        pytest.param(1, (1,), "", id="the-same"),
        pytest.param(1, (3,), "", id="a-subset"),
        pytest.param(3, (1,), _UNKNOWN, id="one-too-many"),
        pytest.param(1, (2,), _UNKNOWN, id="another"),
        pytest.param(1, (1, 99), "", id="chunk-that-grew"),
    ],
)
def test_it_knows_all_that_the_caretaker_below_has(
    program: Path, tmp_path: Path, below: int, chunk: tuple[int, ...], why: str
) -> None:
    """What is below stays the same from A to B, so B may be followed by A, who knows less."""
    content = image(_chunk(b"CTAK", _handover(), *chunk))
    assert said(program, tmp_path, content, features=below) == why


def test_features_are_not_read_from_behind_the_chunk(program: Path, tmp_path: Path) -> None:
    content = image(_chunk(b"CTAK", _handover()) + struct.pack("<I", 1))
    assert said(program, tmp_path, content, features=1) == _UNKNOWN


@pytest.mark.parametrize(
    ("cmdline", "why"),
    [
        ("kho=on liveupdate=on caretaker=ready", ""),
        ("kho=1 liveupdate=y caretaker=on", ""),
        ("kho=off liveupdate=on caretaker=on kho=on", ""),
        ("kho=on liveupdate=on", f"{_UNASKED}caretaker=on or =ready"),
        ("kho=on liveupdate=on caretaker=off", f"{_UNASKED}caretaker=on or =ready"),
        ("kho=on liveupdate=on caretaker=on caretaker=off", f"{_UNASKED}caretaker=on or =ready"),
        ("liveupdate=on caretaker=on", f"{_UNASKED}kho=on"),
        ("kho=on liveupdate=on caretaker=on kho=off", f"{_UNASKED}kho=on"),
        ("nokho=on liveupdate=on caretaker=on", f"{_UNASKED}kho=on"),
        ("kho=on caretaker=on liveupdate=no", f"{_UNASKED}liveupdate=on"),
        ("kho=on caretaker=on liveupdate", f"{_UNASKED}liveupdate=on"),
        ("", f"{_UNASKED}caretaker=on or =ready"),
    ],
)
def test_what_its_command_line_has_to_say(
    program: Path, tmp_path: Path, cmdline: str, why: str
) -> None:
    assert said(program, tmp_path, image(), cmdline) == why


_DEEPER = (
    "the next kernel's command line has no no5lvl, and this kernel has 4 levels of page tables"
)
_FLATTER = "the next kernel's command line has no5lvl, and this kernel has 5 levels of page tables"


@pytest.mark.parametrize(
    ("levels", "words", "why"),
    [
        pytest.param("5", "", "", id="5-to-5"),
        pytest.param("5", " no5lvl", _FLATTER, id="5-to-4"),
        pytest.param("4", " no5lvl", "", id="4-to-4"),
        pytest.param("4", "", _DEEPER, id="4-to-5"),
        pytest.param("4", " xno5lvl no5lvlx", _DEEPER, id="4-to-5-by-other-words"),
        pytest.param("", " no5lvl", "", id="no-la57"),
        pytest.param("", "", "", id="no-la57-at-all"),
    ],
)
def test_its_page_tables_have_the_same_depth(
    program: Path, tmp_path: Path, levels: str, words: str, why: str
) -> None:
    assert said(program, tmp_path, image(), _CMDLINE + words, levels) == why


# What is broken, and the image or the command line that is then not told as it should be.
_MUTANTS = {
    "any-version": ("said.handover != CARETAKER_HANDOVER", "0", "another-abi"),
    "no-end": ("!within(at, info.size_total, len)", "0", "claims-more-than-there-is"),
    "small-chunk": ("chunk.size >= CHUNK_MIN ? chunk : none", "chunk", "chunk-too-small"),
    "any-info": ("info.magic != KERNEL_INFO_MAGIC || ", "", "no-kernel-info"),
    "any-protocol": ("header->version < SINCE || ", "", "older-protocol"),
    "first-chunk-only": ("at += chunk.size)", "at = end)", "after-another-chunk"),
    "no-default": ("(header->setup_sects ?: 4)", "header->setup_sects", "sectors-by-default"),
}  # fmt: skip


@pytest.mark.parametrize("name", _MUTANTS)
def test_mutant_is_caught(name: str, tmp_path: Path) -> None:
    what, instead, catcher = _MUTANTS[name]
    kernel = tmp_path / "kernel"
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/kexec_handover.c"
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    content, why = _IMAGES[catcher]
    (tmp_path / "image").write_bytes(content)
    ran = subprocess.run(
        [_built(kernel, tmp_path), tmp_path / "image", _CMDLINE],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "AddressSanitizer" in ran.stderr or ran.stdout.strip() != why


@pytest.mark.parametrize(
    ("what", "levels", "words"),
    [
        pytest.param("five_levels(cmdline) > pgtable_l5_enabled()", "4", "", id="deeper"),
        pytest.param("five_levels(cmdline) < pgtable_l5_enabled()", "5", " no5lvl", id="flatter"),
    ],
)
def test_mutant_of_depth_is_caught(what: str, levels: str, words: str, tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/kexec_handover.c"
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, f"{what} && !cmdline"))
    assert said(_built(kernel, tmp_path), tmp_path, image(), _CMDLINE + words, levels) == ""


@pytest.mark.parametrize(
    ("what", "instead", "below", "chunk"),
    [
        pytest.param("~said.features)", "~0u & 0)", 1, b"", id="knows-everything"),
        pytest.param("~said.features)", "!said.features)", 3, b"\1\0\0\0", id="some-will-do"),
        pytest.param("chunk.features = 0;", "chunk.size++;", 1, b"", id="behind-the-chunk"),
    ],
)
def test_mutant_of_features_is_caught(
    what: str, instead: str, below: int, chunk: bytes, tmp_path: Path
) -> None:
    kernel = tmp_path / "kernel"
    for part in _PARTS:
        shutil.copytree(_KERNEL / part, kernel / part)
    mutated = kernel / "arch/x86/caretaker/kexec_handover.c"
    text = mutated.read_text()
    assert text.count(what) == 1, "the mutant's place has changed"
    mutated.write_text(text.replace(what, instead))
    known = struct.unpack("<I", chunk) if chunk else ()
    content = image(_chunk(b"CTAK", _handover(), *known) + struct.pack("<I", 1))
    assert said(_built(kernel, tmp_path), tmp_path, content, features=below) == ""
