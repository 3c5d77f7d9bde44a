# SPDX-License-Identifier: Apache-2.0
"""A pool of one host that says the same to whatever it is asked: enough for a probe."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

from lab.config.cell_request import CellRequest
from lab.config.model import Accel, DisruptionKind, LabConfig
from lab.ssh.session import Result

LAB = LabConfig.model_validate({"kernel": {"stock": {"recipe": "stock"}}})
CELL = CellRequest(disruption=DisruptionKind.VMM_KILL).cell(LAB, accel=Accel.KVM)


def pool_on(accel: Accel, *, answer: Result | None = None) -> Any:
    """Return a pool of one host, which answers whatever it is asked, and lacks nothing."""
    kernel = SimpleNamespace(lacks=lambda _: False, version=(0, 0))
    outfit = SimpleNamespace(kernel=kernel, guest_kernel=kernel, words=())
    lab_session = SimpleNamespace(
        accelerators={},
        accelerator=lambda *_: SimpleNamespace(accel=accel),
        images=SimpleNamespace(outfit=lambda *_: outfit),
        cpu_lacks=lambda _: "",
    )
    session = SimpleNamespace(
        run=lambda *_, **__: answer, check=lambda *_, **__: answer.stdout if answer else ""
    )
    host = SimpleNamespace(
        role="a",
        session=session,
        tainted=None,
        by_guest=lambda: None,
        blueprint=SimpleNamespace(request=CELL.request),
        patience=SimpleNamespace(command=1),
    )
    host.taint = lambda why: setattr(host, "tainted", why)
    return SimpleNamespace(lab_session=lab_session, host=host, lease=lambda _: nullcontext(host))
