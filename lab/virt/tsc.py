# SPDX-License-Identifier: Apache-2.0
"""The rate of this machine's TSC, which is that of a TCG machine's, too.

A kernel that calibrates its TSC against an emulated timer on a busy machine gets it wrong, and the
timers of its guests then stand still; so an L1 under TCG gets it as `tsc_early_khz=`.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from functools import cache

from lab.config.enums import Accel, Arch
from lab.deadline import pause

# rdtsc; shl rdx, 32; or rax, rdx; ret
_RDTSC = bytes.fromhex("0f31 48c1e220 4809d0 c3")
_STRETCH_S = 0.05
_TRIES = 5


@cache
def tsc_khz() -> int | None:
    """Measure the TSC against the monotonic clock.

    Returns:
        Its rate in kHz; None where there is no TSC.
    """
    if os.uname().machine != "x86_64":
        return None
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(_RDTSC)
    code = ctypes.c_char.from_buffer(page)
    rdtsc = ctypes.CFUNCTYPE(ctypes.c_uint64)(ctypes.addressof(code))

    def sample() -> tuple[int, int]:
        # The tightest of several pairs: between the two clocks anything may come.
        best = min(
            ((time.monotonic_ns(), rdtsc(), time.monotonic_ns()) for _ in range(_TRIES)),
            key=lambda t: t[2] - t[0],
        )
        return (best[0] + best[2]) // 2, best[1]

    ns_before, before = sample()
    pause(_STRETCH_S)
    ns_after, after = sample()
    return round((after - before) * 1_000_000 / (ns_after - ns_before))


def clock_words(accel: Accel, arch: Arch) -> tuple[str, ...]:
    """Return the kernel parameters that give an L1 its clock's rate.

    Args:
        accel: What runs the L1.
        arch: Its architecture.

    Returns:
        `tsc_early_khz=`, or nothing where the L1 needs no help.
    """
    khz = tsc_khz() if accel is Accel.TCG and arch is Arch.X86_64 else None
    return (f"tsc_early_khz={khz}",) if khz else ()
