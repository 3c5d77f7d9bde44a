# SPDX-License-Identifier: Apache-2.0
"""A kernel's selftest in two stages, with a kexec between them, which the lab does.

As luo_test() has it: `-s 1` preserves, and leaves a process that has the sessions open; after the
kexec `-s 2` retrieves. do_kexec.sh of the tree is not used: the lab's kexec is witnessed.

Source: tools/testing/selftests/liveupdate/.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.config.enums import KexecLoad
from lab.deadline import Deadline
from lab.errors import HostDiedError, InfraError
from lab.host import kexec as kexecs
from lab.host.host import RunningHost
from lab.observe.identity import Happened, kexec_happened
from lab.runner.selftest_lines import Stage
from lab.ssh.session import Result

SELFTESTS_IN_L1 = "/run/selftests"


def in_two_stages(
    host: RunningHost, program: Path, run: Callable[[Sequence[str]], Result]
) -> tuple[Stage, ...]:
    """Run a test's first stage, enter the host's kernel anew by kexec, and run its second.

    Args:
        host: A host, which is tainted by it.
        program: The test, on L0.
        run: Runs a program of the host's with its arguments.

    Returns:
        What came of each stage, up to the first that did not pass.

    Raises:
        InfraError: The host was lost in a way that is not its kernel's fault.
    """
    first = Stage("stage 1", run(_there(host, program, 1)))
    if first.came is None or first.came.status != 0:
        return (first,)
    jumped = Stage("kexec", wrong=_jump(host))
    if jumped.wrong:
        return (first, jumped)
    return (first, jumped, Stage("stage 2", run(_there(host, program, 2))))


def _there(host: RunningHost, program: Path, stage: int) -> Sequence[str]:
    """Put the program into the host: after a kexec its /run is empty."""
    there = f"{SELFTESTS_IN_L1}/{program.name}"
    host.session.check(["mkdir", "-p", SELFTESTS_IN_L1])
    host.session.put(program, there, mode=0o755)
    return (there, "-s", str(stage))


def _jump(host: RunningHost) -> str:
    """Enter the host's own kernel by kexec; return what is wrong with that, "" if nothing is."""
    by, before = Deadline.after(host.patience.kexec), host.identity
    try:
        loaded = kexecs.load(host, how=KexecLoad.FILE_LOAD, by=by)
    except InfraError as e:
        return f"it was refused: {e}"
    if loaded.how is not KexecLoad.FILE_LOAD:
        return "the kernel has no kexec_file_load(), which alone carries a handover"
    at = time.monotonic()
    try:
        kexecs.jump(host, loaded, by)
    except HostDiedError as e:
        return f"the host died: {e}"
    done = kexec_happened(
        before,
        host.identity,
        nonce=loaded.nonce,
        wanted_build_id=host.blueprint.kernel.build_id,
        at=at,
        done=time.monotonic(),
    )
    return "" if isinstance(done, Happened) else f"it did not happen: {done.reason}"
