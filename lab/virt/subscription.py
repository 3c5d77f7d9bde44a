# SPDX-License-Identifier: Apache-2.0
"""The events of a libvirt that tell what becomes of its machines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import libvirt
import libvirt_qemu  # type: ignore[import-untyped]

from lab.virt.lifecycle import described, reset_word


class Subscription:
    """Has all changes of machines' life cycles told.

    Args:
        raw: libvirt's handle of the connection.
        tell: Called on libvirt's thread with a machine's name, and libvirt's words.
    """

    def __init__(self, raw: libvirt.virConnect, tell: Callable[[str, str], None]) -> None:
        self._raw, self._tell = raw, tell
        self._callbacks = [
            raw.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._on_lifecycle, None
            )
        ]
        self._resets = self._follow_resets()

    def close(self) -> None:
        """Have nothing told any more.

        Raises:
            libvirtError: The connection is lost.
        """
        for callback in self._callbacks:
            self._raw.domainEventDeregisterAny(callback)
        if self._resets is not None:
            libvirt_qemu.qemuMonitorEventDeregister(self._raw, self._resets)

    def _follow_resets(self) -> int | None:
        """Ask QEMU for resets: libvirt's own event does not say whether the machine did it."""
        register = libvirt_qemu.qemuMonitorEventRegister
        try:
            return int(register(self._raw, None, "RESET", self._on_reset, None))
        except libvirt.libvirtError:  # it is no QEMU's, as the test driver is none
            reboot = libvirt.VIR_DOMAIN_EVENT_ID_REBOOT
            found = self._raw.domainEventRegisterAny(None, reboot, self._on_reboot, None)
            self._callbacks.append(found)
            return None

    def _on_lifecycle(self, _conn: Any, raw: Any, event: int, detail: int, _opaque: Any) -> None:
        self._tell(raw.name(), described(event, detail))

    def _on_reboot(self, _conn: Any, raw: Any, _opaque: Any) -> None:
        self._tell(raw.name(), "reset")

    def _on_reset(self, *about: Any) -> None:
        _conn, raw, _event, _seconds, _micros, details, _opaque = about
        self._tell(raw.name(), reset_word(details))
