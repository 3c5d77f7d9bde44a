# SPDX-License-Identifier: Apache-2.0
"""A kernel that comes up without what it was built for failed; one built without did not."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab.config.model import Orphaning
from lab.errors import InfraError, ProductError
from lab.runner import features
from lab.runner.features import NEEDS, insist_on_the_feature, missing_feature

ASYNC = "CONFIG_KVM_ASYNC_RUN=y\n"
BOTH = f"{ASYNC}CONFIG_CARETAKER=y\n"


def host(tmp_path: Path, config: str | None) -> Any:
    """Return a host whose kernel was built so."""
    path = tmp_path / "config"
    path.write_text(config or "", encoding="utf-8")
    kernel = SimpleNamespace(name="mine", config=path if config is not None else None)
    return SimpleNamespace(
        blueprint=SimpleNamespace(kernel=kernel), by_guest=lambda: None, tainted=None
    )


def abi(reason: str | InfraError | None) -> Any:
    """Return an ABI whose hosts answer so."""

    def unsupported_reason(*_: object) -> str | None:
        if isinstance(reason, InfraError):
            raise reason
        return reason

    return SimpleNamespace(unsupported_reason=unsupported_reason)


@pytest.mark.parametrize(
    ("config", "wanted", "reason", "missing"),
    [
        (ASYNC, Orphaning.ASYNC, "no KVM_CAP_ORPHAN", True),
        (BOTH, Orphaning.LASTING, "no /dev/caretaker", True),
        (BOTH, Orphaning.RESIDENT, "no /dev/caretaker", True),
        (ASYNC, Orphaning.ASYNC, None, False),
        (ASYNC, Orphaning.LASTING, "no /dev/caretaker", False),  # it was built without
        ("# CONFIG_KVM_ASYNC_RUN is not set\n", Orphaning.ASYNC, "no KVM_CAP_ORPHAN", False),
        ("", Orphaning.ASYNC, "no KVM_CAP_ORPHAN", False),
        (None, Orphaning.ASYNC, "no KVM_CAP_ORPHAN", False),
        (ASYNC, Orphaning.ASYNC, InfraError("gone"), False),
    ],
)
def test_a_feature_is_missing_where_the_kernel_was_built_for_it(
    tmp_path: Path,
    config: str | None,
    wanted: Orphaning,
    reason: str | InfraError | None,
    missing: bool,
) -> None:
    said = missing_feature(host(tmp_path, config), wanted, abi(reason))
    assert bool(said) is missing
    assert not missing or (str(reason) in said and "kernel 'mine' was built with CONFIG_" in said)


@pytest.mark.parametrize(
    ("wanted", "tainted", "failed"),
    [(Orphaning.ASYNC, None, True), (None, None, False), (Orphaning.ASYNC, "it panicked", False)],
)
def test_a_guest_that_cannot_start_for_it_is_the_kernels_failure(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wanted: Orphaning | None,
    tainted: str | None,
    failed: bool,
) -> None:
    driver = SimpleNamespace(handover=abi("no KVM_CAP_ORPHAN"))
    monkeypatch.setattr(features, "driver_for", lambda *_: driver)
    cell: Any = SimpleNamespace(vmm="labvmm", options=SimpleNamespace(orphaning=wanted))
    mine = host(tmp_path, ASYNC)
    mine.tainted = tainted
    said = pytest.raises(ProductError, match="came up without: no KVM_CAP_ORPHAN")
    with said if failed else nullcontext():
        insist_on_the_feature(mine, cell, InfraError("it did not start"))


def test_every_way_to_orphan_a_guest_names_what_it_needs() -> None:
    assert {*NEEDS} == {*Orphaning}
