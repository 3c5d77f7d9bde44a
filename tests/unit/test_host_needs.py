# SPDX-License-Identifier: Apache-2.0
"""What a host lacks by its CPU model, memory and command line: one sentence, before it boots."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lab.config.cell_request import CellRequest
from lab.config.load import load_lab
from lab.config.model import (
    Accel,
    Arch,
    Cell,
    CpuModel,
    DisruptionKind,
    HostMode,
    KernelSpec,
    MemoryKind,
    Options,
    Orphaning,
    Scope,
    VmmKind,
)
from lab.errors import UnavailableError
from lab.events import nowhere
from lab.host.needs import cpu_lacks, handover_is_off, memory_lacks, reserved_mib
from lab.runner import lab_session as sessions
from lab.runner.host_needs import short_of
from lab.runner.lab_session import LabSession
from lab.virt.cpu_model import _answered, expanded
from lab.virt.probe import AccelChoice

ROOT = Path(__file__).parents[2]
LAB = load_lab(ROOT / "lab.toml")
# As QEMU 10 expands them; what the lab does not look at is left out.
AMD, INTEL = "AuthenticAMD", "GenuineIntel"
MODELS: dict[str, dict[str, object]] = {
    "qemu64": {"vendor": AMD, "svm": True, "npt": False, "xsave": False, "x2apic": False},
    "phenom": {"vendor": AMD, "svm": True, "npt": True, "xsave": False, "x2apic": False},
    "EPYC": {"vendor": AMD, "svm": True, "npt": True, "xsave": True, "x2apic": False},
    "Nehalem": {"vendor": INTEL, "svm": False, "npt": False, "xsave": False, "x2apic": False},
    "max": {"vendor": AMD, "svm": True, "npt": True, "xsave": True, "x2apic": True, "la57": True},
}


def test_a_size_is_read_as_the_kernel_reads_it() -> None:
    words = (
        "kho_scratch=1M,1M,1M crashkernel=0x10M@64M kho_scratch=1024K,0,1G crashkernel=512M,high"
    )
    assert dict(reserved_mib(words)) == {"crashkernel": 512.0, "kho_scratch": 1025.0}
    assert dict(reserved_mib("crashkernel=0x10M@64M kho_scratch=200%")) == {"crashkernel": 16.0}
    assert dict(reserved_mib("kho=off kho_scratch=16M,64M,256M")) == {}


def test_a_host_without_room_for_its_guest_is_told_what_takes_it() -> None:
    words = "crashkernel=256M kho=on kho_scratch=16M,64M,256M"
    why = memory_lacks(768, 256, words)
    assert why == (
        "a host of 768 MiB has 176 MiB at the most for its kernel and a guest of 256: "
        "crashkernel reserves 256 MiB, kho_scratch reserves 336 MiB"
    )
    assert memory_lacks(1024, 256, words) == memory_lacks(8192, 256, words) == ""
    assert memory_lacks(848, 256, words) == ""
    assert memory_lacks(847, 256, words)
    assert memory_lacks(768, 256, "kho=off crashkernel=0") == ""
    assert memory_lacks(128, 256, "").endswith("a guest of 256")


@pytest.mark.parametrize(
    ("words", "off"),
    [
        ("kho=on liveupdate=on", ""),
        ("kho=on kho=off", "kho=off"),
        ("kho=off kho=1", ""),
        ("kho=n", "kho=n"),
        ("kho=on liveupdate=0", "liveupdate=0"),
        ("", ""),
    ],
)
def test_the_last_word_switches_the_handover_off(words: str, off: str) -> None:
    assert handover_is_off(words) == off


@pytest.mark.parametrize("word", ["16M,64M,256M", "0x10M,64M,1g", "0,0,64M", "200%", "1048576,1,1"])
def test_kho_scratch_that_the_kernel_understands_is_taken(word: str) -> None:
    assert KernelSpec(recipe=Path("stock"), cmdline=(f"kho_scratch={word}",)).cmdline


@pytest.mark.parametrize(
    "word", ["64M", "16M,64M", "16M,64M,256M,1M", "16MB,64M,256M", "200 %", ""]
)
def test_kho_scratch_that_the_kernel_would_ignore_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is not understood by the kernel"):
        KernelSpec(recipe=Path("stock"), cmdline=(f"kho_scratch={word}",))


def cell(disruption: DisruptionKind = DisruptionKind.VMM_KILL, **said: Any) -> Cell:
    options = Options(**said.pop("options", {}))
    lab = LAB.model_copy(
        update={"host": LAB.host.model_copy(update={"memory_mib": said.pop("host_mib", 2048)})}
    )
    vmm = VmmKind.LABVMM if options.memory or options.orphaning else VmmKind.QEMU
    request = CellRequest(kernel="stock", disruption=disruption, options=options, vmm=vmm, **said)
    return request.cell(lab, accel=Accel.TCG)


class Session:
    """A run, whose CPU model lacks this."""

    def __init__(self, lacks: str = "") -> None:
        self._lacks = lacks

    def cpu_lacks(self, _: object) -> str:
        """Return it."""
        return self._lacks


def short(one: Cell, *words: str, lacks: str = "") -> tuple[str, str] | None:
    session: Any = Session(lacks)
    found = short_of(session, one, words)
    return (found.probe, found.why) if found else None


def test_a_cell_that_lacks_nothing_is_run() -> None:
    assert short(cell()) is None
    assert short(cell(host_mib=8192)) is None
    assert short(cell(host_mib=1024)) is None
    assert short(cell(), "kho=off") is None


def test_a_cpu_model_that_will_not_do_is_named_with_what_was_asked() -> None:
    found = short(cell(), lacks="CPU model 'qemu64' has no nested paging")
    assert found == (
        "query-cpu-model-expansion of QEMU",
        "CPU model 'qemu64' has no nested paging",
    )


MEMORY = {"memory": MemoryKind.LUO_MEMFD}


@pytest.mark.parametrize(
    ("one", "is_short"),
    [
        (cell(DisruptionKind.KEXEC, options=MEMORY, scope=Scope.MEMORY), True),
        (cell(DisruptionKind.KEXEC, options={"orphaning": Orphaning.RESIDENT}), True),
        (cell(DisruptionKind.KEXEC, options={"orphaning": Orphaning.LUO_VCPU}), True),
        (cell(DisruptionKind.KEXEC), False),
        (cell(options={"orphaning": Orphaning.ASYNC}), False),
    ],
)
def test_without_kho_only_what_hands_memory_over_is_not_run(one: Cell, *, is_short: bool) -> None:
    found = short(one, "kho=off")
    assert (found is not None) is is_short
    if found:
        assert found[1].startswith("kernel 'stock' has kho=off on its command line")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs QEMU")
@pytest.mark.parametrize("model", MODELS)
def test_qemu_says_of_its_models_what_this_test_does(model: str) -> None:
    found = expanded(Path(str(shutil.which("qemu-system-x86_64"))), Accel.TCG, model)
    assert found is not None
    assert {name: found[name] for name in MODELS[model]} == MODELS[model]


@pytest.mark.parametrize(
    "output",
    [
        "",
        "no JSON\n",
        '{"error": {"class": "GenericError", "desc": "not found"}}\n',
        '{"return": {}}\n',
    ],
)
def test_a_qemu_that_does_not_say_is_no_answer(output: str) -> None:
    assert _answered(output) is None


def test_an_emulator_that_is_not_there_is_no_answer(tmp_path: Path) -> None:
    assert expanded(tmp_path / "none", Accel.TCG, "max") is None


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the models that QEMU was asked for; it answers as in MODELS."""
    asked: list[str] = []

    def properties(*args: Any) -> dict[str, object] | None:
        asked.append(args[-1])
        return MODELS.get(args[-1])

    monkeypatch.setattr(sessions, "properties", properties)
    return asked


def session_with(model: str, tmp_path: Path, stack: ExitStack) -> LabSession:
    host = LAB.host.model_copy(update={"cpu_model": CpuModel(tcg=model)})
    lab = LAB.model_copy(update={"host": host, "state": tmp_path})
    session = LabSession(lab, stack, nowhere, "7f3a")
    session.accelerators[Arch.X86_64] = AccelChoice(Accel.TCG, "it was said")
    session.__dict__["connection"] = None
    return session


@pytest.mark.parametrize(
    ("model", "mode", "why"),
    [
        ("max", HostMode.SWALLOWED, ""),
        ("EPYC", HostMode.NATIVE, ""),
        ("EPYC", HostMode.SWALLOWED, "no x2APIC (an INIT is intercepted only in its mode)"),
        ("phenom", HostMode.SWALLOWED, "no x2APIC"),
        ("phenom", HostMode.NATIVE, ""),
        ("qemu64", HostMode.NATIVE, "no nested paging (on an emulated host without it"),
        ("qemu64", HostMode.SWALLOWED, "no x2APIC"),
        ("Nehalem", HostMode.NATIVE, "is of GenuineIntel, and TCG emulates only AMD's SVM"),
        ("unheard-of", HostMode.SWALLOWED, ""),
    ],
)
def test_a_model_is_asked_about_once_and_lacks_what_its_mode_needs(
    model: str, mode: HostMode, why: str, tmp_path: Path, asked: list[str]
) -> None:
    request = cell(mode=mode).request
    with ExitStack() as stack:
        session = session_with(model, tmp_path, stack)
        said = [session.cpu_lacks(request) for _ in range(2)]
        assert said[0] == said[1]
        assert why in said[0] and bool(why) is bool(said[0])  # noqa: PT018 - one property
        assert asked == ([] if model == "max" else [model])
        if why:
            with pytest.raises(UnavailableError, match=f"CPU model '{model}'"):
                session.blueprint(request, "a")


def test_under_kvm_a_model_needs_svm_or_vmx() -> None:
    for properties, why in (
        ({"svm": False, "vmx": False}, "CPU model 'm' has neither SVM nor VMX"),
        ({"svm": False, "vmx": True, "vendor": INTEL}, ""),
        ({"svm": True, "vmx": False}, ""),
        ({}, ""),
    ):
        said = cpu_lacks(properties, "m", Arch.X86_64, Accel.KVM, HostMode.NATIVE)
        assert said.startswith(why) and bool(why) is bool(said)  # noqa: PT018 - as above


def test_models_of_arm64_are_not_judged() -> None:
    assert cpu_lacks({"svm": False}, "max", Arch.ARM64, Accel.TCG, HostMode.VHE) == ""
