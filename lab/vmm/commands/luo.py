# SPDX-License-Identifier: Apache-2.0
"""`labvmm luo`: hold a stopped guest or its RAM for a kexec; retrieve it, and run it again."""

from __future__ import annotations

import argparse
import errno
import importlib
import mmap
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path

from .. import procfs
from ..cli import say
from ..errors import VmmError
from ..machine import control
from ..state import liveupdate
from . import digest

TOKEN, STATE = 1, 2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    preserve = verbs.add_parser(
        "preserve", help="preserve a paused labvmm's RAM; stays until killed"
    )
    preserve.add_argument("--session", required=True)
    preserve.add_argument("--socket", type=Path, required=True, help="labvmm's control socket")
    preserve.add_argument("--token", type=int, default=TOKEN)
    preserve.add_argument("--digest", action="store_true", help="hash the RAM too")
    preserve.add_argument("--empty", action="store_true", help="preserve nothing: a control")
    preserve.add_argument("--state", action="store_true", help="preserve all of it, not RAM alone")
    preserve.set_defaults(verb=_preserve)
    retrieve = verbs.add_parser("retrieve", help="retrieve it, after the kexec")
    retrieve.add_argument("--session", required=True)
    retrieve.add_argument("--token", type=int, default=TOKEN)
    retrieve.add_argument("--digest", action="store_true", help="hash it")
    retrieve.add_argument("--keep", action="store_true", help="stay, so that the memory stays")
    retrieve.set_defaults(verb=_retrieve)
    restore = verbs.add_parser("restore", help="run all of it again, after the kexec; stays")
    restore.add_argument("--session", required=True)
    restore.add_argument("--socket", type=Path, required=True, help="control socket to make")
    restore.add_argument("--console", type=Path, required=True)
    restore.set_defaults(verb=_restore)
    check = verbs.add_parser("check", help="show which errors misuse gives")
    check.set_defaults(verb=_check)


def main(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Run the chosen verb."""
    verb: Callable[[argparse.Namespace], Mapping[str, object]] = chosen.verb
    return verb(chosen)


def _preserve(chosen: argparse.Namespace) -> Mapping[str, object]:
    state: Mapping[str, object] = {}
    if chosen.state:
        state, fds = control.ask(chosen.socket, "save")
    else:
        fds = _paused(chosen)
    device = liveupdate.open_device()
    session = liveupdate.create(device, chosen.session)
    os.close(device)
    if not chosen.empty:
        liveupdate.preserve_fd(session, fds["ram"], chosen.token)
        if state:
            description = {k: v for k, v in state.items() if k not in {"ok", "fds"}}
            liveupdate.preserve_fd(session, liveupdate.in_memfd(description, "labvmm-saved"), STATE)
    found = digest.of_fd(fds["ram"]) if chosen.digest else {"size": os.fstat(fds["ram"]).st_size}
    say({"session": chosen.session, "token": chosen.token, **_me(), **found, "state": "preserved"})
    return {"state": "ended", "signal": _wait_for_the_end()}


def _paused(chosen: argparse.Namespace) -> dict[str, int]:
    """Return the RAM of a guest that is paused."""
    status, fds = control.ask(chosen.socket, "fds")
    if status["state"] != "paused":
        raise VmmError(
            f"the guest is {status['state']}; its RAM would change while it is preserved",
            hint=f"labvmm ctl --socket {chosen.socket} pause",
        )
    for name, fd in fds.items():
        if name != "ram":  # an open descriptor of a vCPU or the VM would keep the VM alive
            os.close(fd)
    return {"ram": fds["ram"]}


def _retrieve(chosen: argparse.Namespace) -> Mapping[str, object]:
    device = liveupdate.open_device()
    session = liveupdate.retrieve(device, chosen.session)
    fd = liveupdate.retrieve_fd(session, chosen.token)
    liveupdate.finish(session)
    os.close(device)
    found = digest.of_fd(fd) if chosen.digest else {"size": os.fstat(fd).st_size}
    answer = {"session": chosen.session, "token": chosen.token, **_me(), **found}
    if not chosen.keep:
        return answer
    with mmap.mmap(fd, os.fstat(fd).st_size, mmap.MAP_SHARED, mmap.PROT_READ):  # for `locate`
        say({**answer, "state": "mapped"})
        return {"state": "ended", "signal": _wait_for_the_end()}


def _restore(chosen: argparse.Namespace) -> Mapping[str, object]:
    """Hash the RAM while nothing runs in it, restore the guest, and run it to its end."""
    snapshot, verbs = (
        importlib.import_module(name, __package__) for name in ("..state.snapshot", ".verbs")
    )
    device = liveupdate.open_device()
    session = liveupdate.retrieve(device, chosen.session)
    description = snapshot.read(liveupdate.retrieve_fd(session, STATE))
    ram = liveupdate.retrieve_fd(session, TOKEN)
    say({"session": chosen.session, **digest.of_fd(ram)})
    guest = snapshot.restore(description, ram, chosen.console)
    liveupdate.finish(session)
    os.close(device)
    control.remove_stale(chosen.socket)
    answer: Mapping[str, object] = verbs.live(guest, chosen.socket)
    return answer


def _me() -> dict[str, object]:
    return {"pid": os.getpid(), "start_time": procfs.start_time(os.getpid())}


def _wait_for_the_end() -> str:
    ends = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)
    return signal.Signals(signal.sigwait(ends)).name


def _check(_: argparse.Namespace) -> Mapping[str, object]:
    """Misuse the device; each answer is an errno's name, or 'ok' where nothing refused."""
    device = liveupdate.open_device()
    first = liveupdate.create(device, f"check-{os.getpid()}")
    second = liveupdate.create(device, f"check-{os.getpid()}-b")
    memfd = os.memfd_create("labvmm-luo-check", os.MFD_CLOEXEC)
    os.ftruncate(memfd, 8192)
    plain = os.open("/proc/self/stat", os.O_RDONLY | os.O_CLOEXEC)
    answers = {
        "open_twice": _refusal(lambda: os.open(liveupdate.DEVICE, os.O_RDWR | os.O_CLOEXEC)),
        "create_same_name": _refusal(lambda: liveupdate.create(device, f"check-{os.getpid()}")),
        "preserve": _refusal(lambda: liveupdate.preserve_fd(first, memfd, 1)),
        "preserve_same_token": _refusal(lambda: liveupdate.preserve_fd(first, plain, 1)),
        "preserve_fd_twice": _refusal(lambda: liveupdate.preserve_fd(first, memfd, 2)),
        "preserve_fd_in_two_sessions": _refusal(lambda: liveupdate.preserve_fd(second, memfd, 1)),
        "preserve_no_memfd": _refusal(lambda: liveupdate.preserve_fd(first, plain, 3)),
        "retrieve_unknown_session": _refusal(
            lambda: liveupdate.retrieve(device, "no-such-session")
        ),
        "retrieve_in_outgoing": _refusal(lambda: liveupdate.retrieve_fd(first, 1)),
    }
    for fd in (first, second, memfd, plain, device):
        os.close(fd)
    return {"errnos": answers}


def _refusal(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as e:
        return errno.errorcode.get(e.errno or 0, str(e.errno))
    return "ok"
