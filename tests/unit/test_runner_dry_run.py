# SPDX-License-Identifier: Apache-2.0
"""The machine that a dry run shows is the one that a run would make."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path

import pytest

from lab.config.cell_request import CellRequest
from lab.config.load import load_lab
from lab.config.model import Accel, Arch, DisruptionKind
from lab.events import nowhere
from lab.host.blueprint import domain_spec
from lab.resources.owner import Owner
from lab.resources.run_folders import RunFolder
from lab.runner.dry_run import on_paper
from lab.runner.lab_session import LabSession
from lab.virt.probe import AccelChoice
from lab.virt.xml import DomainSpec

CHECKOUT = Path(__file__).parents[2]
MADE_BY_A_RUN = {"name", "run_id", "owner", "mac", "ssh_port"}


@pytest.mark.parametrize("arch", Arch)
@pytest.mark.parametrize("accel", [Accel.TCG, Accel.KVM])
def test_dry_run_shows_the_machine_of_a_real_run(arch: Arch, accel: Accel, tmp_path: Path) -> None:
    lab = load_lab(CHECKOUT / "lab.toml").model_copy(update={"state": tmp_path})
    cell = CellRequest(arch=arch, disruption=DisruptionKind.VMM_KILL).cell(lab, accel=accel)
    with ExitStack() as stack:
        lab_session = LabSession(lab, stack, nowhere, "7f3a")
        lab_session.accelerators[arch] = AccelChoice(accel, "it was said")
        lab_session.__dict__["folder"] = RunFolder(tmp_path / "runs" / "RUN", None)
        key = (cell.kernel, arch)
        lab_session.images.outfits[key] = lab_session.images.on_paper(*key)
        blueprint = lab_session.blueprint(cell.request, cell.host)
        initrd = blueprint.folder / "initrd"
        real = domain_spec(blueprint, port=1, nonce="NONCE", initrd=initrd, user=None)
    shown = on_paper(lab, cell)
    assert shown.owner == real.owner == Owner.me()
    for field in fields(DomainSpec):
        if field.name not in MADE_BY_A_RUN:
            assert getattr(shown, field.name) == getattr(real, field.name), field.name
    assert ("tsc_early_khz=" in shown.cmdline) is (accel is Accel.TCG and arch is Arch.X86_64)
