# SPDX-License-Identifier: Apache-2.0
"""The type of an error says what is at fault: the user's file, this machine, or the lab itself."""

from __future__ import annotations

from lab.redact import redacted


class LabError(Exception):
    """Anything the lab says to its user; one sentence, and a hint of what to type instead.

    Secrets are taken out: a message may quote a command or a guest's console.

    Args:
        message: What happened, and to what.
        hint: What to type or to change; a line of its own.
    """

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(redacted(message))
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}\nhint: {self.hint}" if self.hint else message


class ConfigError(LabError):
    """The user's input is wrong; the message names the file, the key and what came."""


class UnavailableError(LabError):
    """What was requested cannot exist on this machine; the message is the evidence."""


class ProductError(LabError):
    """The kernel under test failed before a guest could be judged; the message is the evidence."""


class InfraError(LabError):
    """The lab itself broke; says nothing about the kernel under test."""


class OfflineError(InfraError):
    """Something would have gone to the network, and the lab was told not to."""


class GoneError(InfraError):
    """What lab.lock names has left every mirror: what was tested so far cannot be made here."""


class DeadlineError(InfraError):
    """Something did not come in time; the message says what."""


class FalseStartError(DeadlineError):
    """A guest never began to beat; no disruption had been delivered yet."""


class UnreachableError(InfraError):
    """A connection died, in any of the ways that connections die."""


class HostDiedError(InfraError):
    """An L1 panicked, oopsed for good or was shut off while it was needed."""


class BrokenHostError(InfraError):
    """A host that did not come up before, and is not tried again; has its first cause."""
