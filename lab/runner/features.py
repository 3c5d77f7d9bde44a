# SPDX-License-Identifier: Apache-2.0
"""Whether a kernel came up with what it was built for: if not, that is the kernel's failure."""

from __future__ import annotations

from collections.abc import Mapping

from lab.build.kernel import KernelImage
from lab.config.model import Cell, Orphaning
from lab.errors import InfraError, LabError, ProductError
from lab.guest.handover.protocol import Orphaning as Abi
from lab.guest.vmms.table import driver_for
from lab.host.host import RunningHost

_ASYNC, _CARETAKER = "CONFIG_KVM_ASYNC_RUN", "CONFIG_CARETAKER"
# What a kernel is built with for guests that can be orphaned.
NEEDS: Mapping[Orphaning, tuple[str, ...]] = {
    Orphaning.ASYNC: (_ASYNC,),
    Orphaning.RESIDENT: (_CARETAKER,),
    Orphaning.UNPRESERVED: (_CARETAKER,),
    Orphaning.LUO_VCPU: ("CONFIG_KVM_CARETAKER", "CONFIG_LIVEUPDATE_CPU"),
    Orphaning.LASTING: (_ASYNC, _CARETAKER),
}


def insist_on_the_feature(host: RunningHost, cell: Cell, broke: InfraError) -> None:
    """Require, of a guest that did not start, that its kernel has what it was built for.

    Args:
        host: Where the guest was to start.
        cell: What was run.
        broke: What ended it.

    Raises:
        ProductError: the kernel lacks it.
    """
    wanted = cell.options.orphaning
    if wanted is None or host.tainted:
        return
    missing = missing_feature(host, wanted, driver_for(cell.vmm, wanted).handover)
    if missing:
        raise ProductError(missing) from broke


def missing_feature(host: RunningHost, wanted: Orphaning, abi: Abi) -> str:
    """Ask a host, where a guest did not start, whether it has what its kernel was built for.

    Args:
        host: Where the guest was to start.
        wanted: What the guest needs.
        abi: What knows how to ask for it.

    Returns:
        What it was built with and has not; "" if it has it, was built without, or cannot be asked.
    """
    if not built_with(host.blueprint.kernel, NEEDS[wanted]):
        return ""
    try:
        reason = abi.unsupported_reason(host, host.by_guest())
    except LabError:
        return ""
    said = " and ".join(f"{option}=y" for option in NEEDS[wanted])
    name = host.blueprint.kernel.name
    return f"kernel {name!r} was built with {said}, and came up without: {reason}" if reason else ""


def built_with(kernel: KernelImage, options: tuple[str, ...]) -> bool:
    """Return whether all these options are `y` in a kernel's configuration.

    Args:
        kernel: The kernel; of one that the user built, the lab has no configuration.
        options: Such as "CONFIG_CARETAKER".
    """
    if kernel.config is None:
        return False
    lines = set(kernel.config.read_text(encoding="utf-8").splitlines())
    return all(f"{option}=y" in lines for option in options)
