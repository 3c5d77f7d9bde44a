# SPDX-License-Identifier: Apache-2.0
"""libvirt's numbers for what a machine goes through, as words."""

from __future__ import annotations

import json

import libvirt

from lab.virt.happenings import BY_ITSELF

_EVENTS: dict[int, tuple[str, dict[int, str]]] = {
    libvirt.VIR_DOMAIN_EVENT_DEFINED: ("defined", {}),
    libvirt.VIR_DOMAIN_EVENT_UNDEFINED: ("undefined", {}),
    libvirt.VIR_DOMAIN_EVENT_STARTED: ("started", {}),
    libvirt.VIR_DOMAIN_EVENT_SUSPENDED: (
        "paused",
        {
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED: "it is migrated",
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_IOERROR: "I/O error",
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_WATCHDOG: "watchdog",
            libvirt.VIR_DOMAIN_EVENT_SUSPENDED_API_ERROR: "libvirt error",
        },
    ),
    libvirt.VIR_DOMAIN_EVENT_RESUMED: ("resumed", {}),
    libvirt.VIR_DOMAIN_EVENT_STOPPED: (
        "stopped",
        {
            libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN: "powered off",
            libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED: "destroyed",
            libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED: "crashed",
            libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED: "it was migrated",
            libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED: "saved",
            libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED: "QEMU failed",
        },
    ),
    libvirt.VIR_DOMAIN_EVENT_SHUTDOWN: (
        "shutting down",
        {
            libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_GUEST: BY_ITSELF,
            libvirt.VIR_DOMAIN_EVENT_SHUTDOWN_HOST: "QEMU was told to",
        },
    ),
    libvirt.VIR_DOMAIN_EVENT_PMSUSPENDED: ("asleep", {}),
    libvirt.VIR_DOMAIN_EVENT_CRASHED: (
        "crashed",
        {
            libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED: "its kernel panicked",
            libvirt.VIR_DOMAIN_EVENT_CRASHED_CRASHLOADED: "a crash kernel takes over",
        },
    ),
}

_STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: "unknown",
    libvirt.VIR_DOMAIN_RUNNING: "running",
    libvirt.VIR_DOMAIN_BLOCKED: "running",
    libvirt.VIR_DOMAIN_PAUSED: "paused",
    libvirt.VIR_DOMAIN_SHUTDOWN: "shutting down",
    libvirt.VIR_DOMAIN_SHUTOFF: "off",
    libvirt.VIR_DOMAIN_CRASHED: "crashed",
    libvirt.VIR_DOMAIN_PMSUSPENDED: "asleep",
}


def described(event: int, detail: int) -> str:
    """Return what a life-cycle event of libvirt means: "stopped: powered off"."""
    word, details = _EVENTS.get(event, (f"event {event}", {}))
    return f"{word}: {details[detail]}" if detail in details else word


def state_word(state: int) -> str:
    """Return what libvirt's number for a machine's state means."""
    return _STATES.get(state, f"state {state}")


def reset_word(details: str | None) -> str:
    """Return what QEMU's event RESET means: "reset", and whether the machine did it by itself.

    Args:
        details: The event's members, as JSON.

    Source: qapi/run-state.json, RESET.
    """
    told = json.loads(details or "{}")
    return f"reset: {BY_ITSELF}" if told.get("guest") else "reset"
