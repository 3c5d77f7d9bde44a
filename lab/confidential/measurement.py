# SPDX-License-Identifier: Apache-2.0
"""The launch measurement that a SEV-SNP guest of QEMU will have, computed before it is launched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.confidential.extra import sevsnpmeasure
from lab.confidential.firmware import insist_fit
from lab.errors import ConfigError

SNP_ACTIVE = 0x1  # SEV_FEATURES of a vCPU, as QEMU 10 launches it


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that a measurement is over; memory, disks, policy and host data are not.

    Attributes:
        firmware: The whole image.
        vcpus: How many.
        cpu: The named model of QEMU, as "EPYC-v4"; "host" would be another digest on each machine.
        kernel: The kernel that is measured by kernel-hashes; None without it.
        initrd: Its initrd; None for none.
        cmdline: Its command line.
        features: SEV_FEATURES of its vCPUs, as a bit mask.
    """

    firmware: Path
    vcpus: int
    cpu: str = "EPYC-v4"
    kernel: Path | None = None
    initrd: Path | None = None
    cmdline: str = ""
    features: int = SNP_ACTIVE


def measurement_of(launch: Launch) -> bytes:
    """Compute a launch measurement; the firmware is checked first.

    Args:
        launch: What is launched.

    Returns:
        48 bytes, as a report has them.

    Raises:
        ConfigError: The firmware is not fit for it, the CPU is unknown, or a file is missing.
        InfraError: The extra is missing.
    """
    if launch.kernel is None and (launch.initrd is not None or launch.cmdline):
        raise ConfigError("an initrd or a command line is measured only with a kernel")
    insist_fit(launch.firmware, kernel_hashes=launch.kernel is not None)
    signature = _signature(launch.cpu)
    mode = sevsnpmeasure("sev_mode").SevMode.SEV_SNP
    try:
        digest = sevsnpmeasure("guest").calc_launch_digest(
            mode,
            launch.vcpus,
            signature,
            str(launch.firmware),
            str(launch.kernel) if launch.kernel else None,
            str(launch.initrd) if launch.initrd else None,
            launch.cmdline if launch.kernel else None,
            launch.features,
        )
    except OSError as e:
        raise ConfigError(f"{e.filename}: cannot be measured: {e.strerror}") from e
    return bytes(digest)


def _signature(cpu: str) -> int:
    known: dict[str, int] = sevsnpmeasure("vcpu_types").CPU_SIGS
    if cpu not in known:
        raise ConfigError(
            f"the measurement of an SNP guest with CPU {cpu!r} is not known beforehand",
            hint=f"take one of: {', '.join(known)}",
        )
    return known[cpu]
