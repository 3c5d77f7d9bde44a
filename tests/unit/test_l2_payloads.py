# SPDX-License-Identifier: Apache-2.0
"""The L2 payloads compile, boot by the right note, and write pages that a second reader trusts."""

from __future__ import annotations

import hashlib
import re
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

from lab.deadline import Deadline, until
from lab.observe.beacon import More, Page, encode, parse

SOURCES = Path(__file__).parents[2] / "guest-images" / "l2"
RECORDS = 192
MASK = (1 << 64) - 1
PAGE = re.compile(
    r"^case=(?P<case>\S+) vcpu=(?P<vcpu>\d+) beats=\d+ page=(?P<page>[0-9a-f]{8192})$"
)


needs_arm64 = pytest.mark.skipif(
    not shutil.which("aarch64-linux-gnu-gcc"), reason="needs gcc-aarch64-linux-gnu"
)


def make(out: Path, *goals: str) -> str:
    done = subprocess.run(
        ["make", "-s", "-C", str(SOURCES), f"OUT={out}", *goals],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("l2")
    make(out)
    return out


@pytest.fixture(scope="module")
def built_arm64(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("l2-arm64")
    make(out, "ARCH=arm64", "CC=aarch64-linux-gnu-gcc")
    return out


@pytest.fixture(scope="module")
def dump(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return make(tmp_path_factory.mktemp("host"), "host-tests").splitlines()


def siphash24(key: bytes, message: bytes) -> int:
    """Compute it anew: a shared implementation would share its mistakes."""
    k0, k1 = u64(key, 0), u64(key, 8)
    a: int = k0 ^ 0x736F6D6570736575
    b: int = k1 ^ 0x646F72616E646F6D
    c: int = k0 ^ 0x6C7967656E657261
    d: int = k1 ^ 0x7465646279746573

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a = (a + b) & MASK
            b = rotated(b, 13) ^ a
            a = rotated(a, 32)
            c = (c + d) & MASK
            d = rotated(d, 16) ^ c
            a = (a + d) & MASK
            d = rotated(d, 21) ^ a
            c = (c + b) & MASK
            b = rotated(b, 17) ^ c
            c = rotated(c, 32)

    padded = message + bytes(-(len(message) + 1) % 8) + bytes([len(message) & 0xFF])
    words: tuple[int, ...] = struct.unpack(f"<{len(padded) // 8}Q", padded)
    for word in words:
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def rotated(value: int, by: int) -> int:
    return (value << by | value >> (64 - by)) & MASK


def secret(dump: list[str], name: str) -> bytes:
    return bytes.fromhex(next(line for line in dump if line.startswith(f"{name}=")).split("=")[1])


def page(dump: list[str], case: str) -> bytes:
    found = (PAGE.match(line) for line in dump)
    return next(bytes.fromhex(m["page"]) for m in found if m and m["case"] == case)


def u64(page: bytes, at: int) -> int:
    (value,) = struct.unpack_from("<Q", page, at)
    assert isinstance(value, int)
    return value


def records(page: bytes) -> dict[int, tuple[int, int]]:
    rows = (struct.unpack_from("<QQI", page, 0x100 + 20 * i) for i in range(RECORDS))
    return {seq: (ns, chain) for ns, chain, seq in rows if seq}


def broken_links(page: bytes, key: bytes) -> list[int]:
    beats = records(page)
    return [
        seq
        for seq, (ns, chain) in sorted(beats.items())
        if seq - 1 in beats
        and chain != siphash24(key, struct.pack("<QQQ", beats[seq - 1][1], seq, ns))
    ]


CASES = (
    *("empty", "five", "wrapped", "more", "freeze", "rewind", "restart", "canary", "chain"),
    *("bit", "page", "ram", "no-ram"),
)


@pytest.mark.parametrize("case", CASES)
def test_even_a_mutants_page_is_signed(dump: list[str], case: str) -> None:
    key, it = secret(dump, "key"), page(dump, case)
    assert it[:12] == b"CTLBEACN\2\0\0\0"
    assert u64(it, 0x40) == siphash24(key, it[:0x40])
    assert u64(it, 0xB8) == siphash24(key, it[0x80:0xB8] + bytes(8) + it[0xC0:0xE0])


@pytest.mark.parametrize("case", CASES)
def test_the_lab_reads_and_writes_the_page_as_the_guest_does(dump: list[str], case: str) -> None:
    key, it = secret(dump, "key"), page(dump, case)
    found = parse(it, key)
    assert isinstance(found, Page)
    assert encode(found, key) == it
    assert {at: len(part) for at, part in parts_of(found)} == layout(dump)
    for at, part in parts_of(found):
        assert it[at : at + len(part)] == part, hex(at)


def layout(dump: list[str]) -> dict[int, int]:
    """Return offset and size of each field of version 2, as the C compiler has them."""
    words = next(line for line in dump if line.startswith("layout ")).split()[1:]
    return {int(at, 16): int(size) for at, size in (word.split(":") for word in words)}


def parts_of(found: Page) -> list[tuple[int, bytes]]:
    """Return the bytes of each field of version 2 as the lab understood it, and where they go."""
    more = found.more
    assert more is not None
    verified = MASK if more.ram_verified is None else more.ram_verified
    numbers = (verified, more.ram_mismatches, more.acknowledged, more.acknowledged_link)
    whole = [struct.pack("<Q", number) for number in numbers] + [more.challenge, more.answer]
    return list(zip((0xC0, 0xC8, 0xD0, 0xD8, 0xE0, 0xF0), whole, strict=True))


def test_each_field_of_version_2_is_told_from_the_others(dump: list[str]) -> None:
    found = parse(page(dump, "more"), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more == More(
        *(11, 22, 33, 44), challenge=bytes(range(16)), answer=bytes(range(16, 32))
    )


@pytest.mark.parametrize(
    ("case", "mismatches"), [("five", 0), ("bit", 1), ("page", 1), ("ram", 8), ("other-vcpu", 0)]
)
def test_a_mutant_of_ram_is_counted_by_the_guest(
    dump: list[str], case: str, mismatches: int
) -> None:
    found = parse(page(dump, case), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more is not None
    assert found.more.ram_mismatches == mismatches
    beats = 4 if case == "five" else 149  # the first burst fills, each later one verifies a page
    assert found.more.ram_verified == beats - 1 - mismatches


def test_a_guest_that_verifies_no_ram_says_so(dump: list[str]) -> None:
    found = parse(page(dump, "no-ram"), secret(dump, "key"))
    assert isinstance(found, Page)
    assert found.more == More(ram_verified=None)


def test_a_page_without_beats_holds_the_first_link(dump: list[str]) -> None:
    key, it = secret(dump, "key"), page(dump, "empty")
    assert u64(it, 0x80) == u64(it, 0x88) == 0
    assert u64(it, 0x90) == siphash24(key, secret(dump, "boot") + bytes(8))


def test_the_chain_starts_from_boot_id_and_vcpu(dump: list[str]) -> None:
    key, it = secret(dump, "key"), page(dump, "five")
    first = siphash24(key, secret(dump, "boot") + struct.pack("<Q", 1))
    ns, chain = records(it)[1]
    assert chain == siphash24(key, struct.pack("<QQQ", first, 1, ns))
    assert not broken_links(it, key)


def test_ring_keeps_the_last_192_beats_and_the_longest_gap(dump: list[str]) -> None:
    it = page(dump, "wrapped")
    assert sorted(records(it)) == list(range(500 - RECORDS + 1, 501))
    assert records(it)[500] == (u64(it, 0x88), u64(it, 0x90))
    assert u64(it, 0x98) == 5_000_000
    assert not broken_links(it, secret(dump, "key"))


def test_a_freeze_leaves_a_gap_and_no_broken_link(dump: list[str]) -> None:
    it = page(dump, "freeze")
    assert u64(it, 0x98) > 39_000_000
    assert not broken_links(it, secret(dump, "key"))


def test_a_rewind_counts_again_from_an_earlier_beat(dump: list[str]) -> None:
    assert u64(page(dump, "rewind"), 0x80) < 120
    assert u64(page(dump, "other-vcpu"), 0x80) == 150


def test_a_restart_has_another_boot_id_and_counts_from_one(dump: list[str]) -> None:
    it = page(dump, "restart")
    assert it[0x20:0x30] != secret(dump, "boot")
    assert it[0x10:0x20] == secret(dump, "canary")
    assert 0 < u64(it, 0x80) < 60


def test_the_canary_mutant_changes_the_canary_and_nothing_else(dump: list[str]) -> None:
    it, whole = page(dump, "canary"), page(dump, "other-vcpu")
    assert it[0x10:0x20] != secret(dump, "canary")
    assert it[0x48:] == whole[0x48:]


def test_the_chain_mutant_breaks_one_link(dump: list[str]) -> None:
    assert len(broken_links(page(dump, "chain"), secret(dump, "key"))) == 1
    assert not broken_links(page(dump, "other-vcpu"), secret(dump, "key"))


@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_a_bare_metal_payload_boots_by_its_pvh_note(built: Path, name: str) -> None:
    entry, notes = pvh_notes((built / name).read_bytes())
    # XEN_ELFNOTE_PHYS32_ENTRY is 18; QEMU reads 8 bytes of a 64-bit ELF's descriptor.
    assert notes == [(b"Xen\0", 18, struct.pack("<Q", entry))]


@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_a_bare_metal_payload_needs_nothing_from_elsewhere(built: Path, name: str) -> None:
    path = str(built / name)
    undefined = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True)
    assert not undefined.stdout.strip()
    dynamic = subprocess.run(["readelf", "-lr", path], check=True, capture_output=True, text=True)
    assert "There are no relocations" in dynamic.stdout
    assert not re.search(r"INTERP|DYNAMIC", dynamic.stdout)


def test_the_linux_beacon_is_static(built: Path) -> None:
    path = str(built / "beacon")
    headers = subprocess.run(["readelf", "-l", path], check=True, capture_output=True, text=True)
    assert "INTERP" not in headers.stdout


@needs_arm64
@pytest.mark.parametrize("name", ["spinner", "ticker"])
def test_an_arm64_payload_says_in_its_header_where_it_goes(built_arm64: Path, name: str) -> None:
    image = (built_arm64 / f"{name}.img").read_bytes()
    offset, size, flags = struct.unpack_from("<QQQ", image, 8)
    assert image[56:60] == b"ARM\x64"
    assert (offset, flags) == (2 << 20, 0xA)
    assert size >= len(image)
    elf = (built_arm64 / f"{name}.elf").read_bytes()
    assert struct.unpack_from("<Q", elf, 24) == (0x4000_0000 + offset,)


@needs_arm64
@pytest.mark.parametrize("name", ["spinner.elf", "ticker.elf"])
def test_arm64_payload_is_freestanding_and_without_fp_in_c(built_arm64: Path, name: str) -> None:
    path = str(built_arm64 / name)
    undefined = subprocess.run(["nm", "-u", path], check=True, capture_output=True, text=True)
    assert not undefined.stdout.strip()
    objects = [p for p in (built_arm64 / "obj" / "arm64").glob("*.o") if p.stem != "fp"]
    code = subprocess.run(
        ["aarch64-linux-gnu-objdump", "-d", *map(str, objects)],
        check=True,
        capture_output=True,
        text=True,
    )
    assert not re.search(r"\t[^\t\n]*\b[vqd]([0-9]|[12][0-9]|3[01])\b(?! <)", code.stdout)


@needs_arm64
@pytest.mark.skipif(not shutil.which("qemu-system-aarch64"), reason="needs qemu-system-arm")
def test_an_arm64_payload_beats_on_both_cpus_of_a_bare_machine(
    built_arm64: Path, tmp_path: Path
) -> None:
    """Only the emulator: no KVM, and nothing of labvmm."""
    console = tmp_path / "console"
    secret = f"beacon={bytes(range(16)).hex()}:{bytes(16).hex()}"
    argv = ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "max", "-accel", "tcg"]
    argv += ["-smp", "2", "-m", "64", "-nodefaults", "-display", "none"]
    argv += ["-serial", f"file:{console}", "-kernel", str(built_arm64 / "ticker.img")]
    machine = subprocess.Popen([*argv, "-append", f"{secret} vcpus=2"])
    try:
        until("its beats", lambda: "beating" in read(console) or None, Deadline.after(30))
    finally:
        machine.kill()
        machine.wait()
    said = read(console)
    assert re.findall(r"BEACON vcpu=(\d) gpa=0x40\w{6} boot=\w{32}\n", said) == ["0", "1"]
    assert said.endswith("BEACON beating n=2\n")


def read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


@needs_arm64
def test_the_arm64_linux_beacon_is_static(built_arm64: Path) -> None:
    path = str(built_arm64 / "beacon")
    headers = subprocess.run(["readelf", "-hl", path], check=True, capture_output=True, text=True)
    assert "AArch64" in headers.stdout
    assert "INTERP" not in headers.stdout


def test_the_same_sources_make_the_same_payloads(built: Path, tmp_path: Path) -> None:
    make(tmp_path)
    for name in ("beacon", "spinner.elf", "ticker.elf"):
        again = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
        assert again == hashlib.sha256((built / name).read_bytes()).hexdigest(), name


def pvh_notes(elf: bytes) -> tuple[int, list[tuple[bytes, int, bytes]]]:
    """Return the entry and every note, read as QEMU does: aligned to the segment's alignment."""
    entry, headers = struct.unpack_from("<QQ", elf, 24)
    size, count = struct.unpack_from("<HH", elf, 54)
    notes = []
    for i in range(count):
        kind, _, at, _, _, length, _, align = struct.unpack_from(
            "<IIQQQQQQ", elf, headers + i * size
        )
        if kind != 4:  # PT_NOTE
            continue
        name_size, found_size, note = struct.unpack_from("<III", elf, at)
        name = elf[at + 12 : at + 12 + name_size]
        found = at + 12 + -(-name_size // align) * align
        assert found + found_size <= at + length
        notes.append((name, note, elf[found : found + found_size]))
    return entry, notes
