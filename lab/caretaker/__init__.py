# SPDX-License-Identifier: Apache-2.0
"""The caretaker of a swallowed x86-64 host: its files, and the proofs from L0.

How guests are handed to it is in `guest.handover`.
Imported by `host`, `guest` and all above them.
"""

from __future__ import annotations
