# SPDX-License-Identifier: Apache-2.0
"""/dev/kvm on a machine without udev: its group is as a container's image happens to have it."""

from __future__ import annotations

import grp
import os
import stat
from pathlib import Path

from lab.events import Sink, Step

_GROUP = "kvm"  # whose member is the user that libvirt runs QEMU as
_ALL = stat.S_IROTH | stat.S_IWOTH


def share_with_qemu(node: Path, sink: Sink) -> None:
    """Have QEMU's user open a device of KVM, as udev would.

    While libvirtd, which is root, can open it and QEMU cannot, libvirt believes that KVM came up
    since it last asked, and tries every QEMU binary again at each call: 8 s for each.

    Args:
        node: The device; nothing is done if it is not there, or everybody may open it.
        sink: Receives what was done, or what to type.

    Source: 50-udev-default.rules; virQEMUCapsIsValid() in libvirt's src/qemu/qemu_capabilities.c.
    """
    try:
        found, group = node.stat(), grp.getgrnam(_GROUP).gr_gid
    except (FileNotFoundError, KeyError):
        return
    if found.st_gid == group or found.st_mode & _ALL == _ALL:
        return
    try:
        os.chown(node, -1, group)
    except OSError as e:
        why = f"libvirt will be slow, since QEMU cannot open {node}: {e.strerror}"
        sink(Step(what=f"{why}; type: chgrp {_GROUP} {node}"))
    else:
        sink(Step(what=f"{node} has the group {_GROUP} now, as udev would have made it"))
