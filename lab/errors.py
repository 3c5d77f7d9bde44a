# SPDX-License-Identifier: Apache-2.0
"""Who is to blame is the type: the user's file, this machine, or the lab itself."""

from __future__ import annotations

from lab.redact import redacted


class LabError(Exception):
    """Anything the lab says to its user; one sentence, and a hint of what to type instead.

    Secrets are taken out: a message may quote a command or a guest's console.
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
    """What was asked for cannot exist on this machine; the message is the evidence."""


class InfraError(LabError):
    """The lab itself broke; says nothing about the kernel under test."""


class DeadlineError(InfraError):
    """Something that was waited for did not come."""


class FalseStartError(DeadlineError):
    """A guest never began to beat; nothing had been done to it yet."""


class UnreachableError(InfraError):
    """A connection died, in whatever way connections die."""


class HostDiedError(InfraError):
    """An L1 panicked, oopsed for good or was shut off while it was needed."""


class BrokenHostError(InfraError):
    """A host that would not come up before, and is not tried again; says its first cause."""
