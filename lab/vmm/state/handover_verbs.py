# SPDX-License-Identifier: Apache-2.0
"""What a labvmm is told by who has its guest go on elsewhere, or brings it back."""

from __future__ import annotations

import importlib
import platform
from types import ModuleType

from ..errors import VmmError
from ..machine.control import Asked, Reply, Verbs
from ..machine.machine import Machine


def verbs(guest: Machine) -> Verbs:
    """Give the verbs; what they need is loaded only when one is used."""

    def give(_: Asked) -> Reply:
        given = _given()
        said, records = given.give(guest)
        texts = [given.as_text(record) for record in records]
        return Reply({**said, "records": texts}, {"ram": guest.ram.fd})

    def take_back(asked: Asked) -> Reply:
        given = _given()
        given.take_back(guest, given.records_of(asked.content["records"]))
        return Reply(guest.status())

    def save(_: Asked) -> Reply:
        return Reply(_module(".snapshot").save(guest), {"ram": guest.ram.fd})

    def unsave(_: Asked) -> Reply:
        _module(".snapshot").go_on(guest)
        return Reply(guest.status())

    return {"give": give, "take_back": take_back, "save": save, "unsave": unsave}


def _given() -> ModuleType:
    if platform.machine() != "x86_64":
        raise VmmError("only a guest of x86-64 can be given to a caretaker")
    return _module(".vm_x86")


def _module(name: str) -> ModuleType:
    return importlib.import_module(name, __package__)
