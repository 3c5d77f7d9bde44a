# SPDX-License-Identifier: Apache-2.0
"""What a labvmm is told by who moves its guest to the caretaker, and back."""

from __future__ import annotations

import importlib
from types import ModuleType

from .control import Asked, Reply, Verbs
from .machine import Machine


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

    return {"give": give, "take_back": take_back}


def _given() -> ModuleType:
    return importlib.import_module(".given", __package__)
