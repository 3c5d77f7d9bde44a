# SPDX-License-Identifier: Apache-2.0
"""The verbs by which a guest is handed over to the caretaker or to LUO, and taken back."""

from __future__ import annotations

import importlib
import platform
from types import ModuleType

from ..errors import VmmError
from ..machine.control import Question, Reply, Verbs
from ..machine.machine import Machine


def verbs(guest: Machine) -> Verbs:
    """Return the verbs; the modules that they need are imported when one is used.

    Args:
        guest: The guest.

    Returns:
        What answers each verb.
    """

    def hand_over(_: Question) -> Reply:
        vm_state = _vm_state()
        description, records = vm_state.hand_over(guest)
        texts = [vm_state.record_as_text(record) for record in records]
        return Reply({**description, "records": texts}, {"ram": guest.ram.fd})

    def hand_back(question: Question) -> Reply:
        vm_state = _vm_state()
        vm_state.hand_back(guest, vm_state.parse_records(question.content["records"]))
        return Reply(guest.status())

    def save(_: Question) -> Reply:
        return Reply(_module(".snapshot").save(guest), {"ram": guest.ram.fd})

    def unsave(_: Question) -> Reply:
        _module(".snapshot").cancel(guest)
        return Reply(guest.status())

    return {"hand_over": hand_over, "hand_back": hand_back, "save": save, "unsave": unsave}


def _vm_state() -> ModuleType:
    if platform.machine() != "x86_64":
        raise VmmError("only a guest of x86-64 can be handed over to the caretaker")
    return _module(".vm_x86")


def _module(name: str) -> ModuleType:
    return importlib.import_module(name, __package__)
