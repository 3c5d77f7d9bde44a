# SPDX-License-Identifier: Apache-2.0
"""x86 port I/O: the serial port answers, the reset line resets, the rest is an empty bus."""

from __future__ import annotations

from collections import Counter

from .serial import Serial

COM1 = range(0x3F8, 0x400)
I8042_DATA, I8042_COMMAND, SYSTEM_CONTROL, CF9 = 0x60, 0x64, 0x92, 0xCF9
PULSE_RESET, FAST_RESET = 0xFE, 0x01
CF9_RESET = 0x04
CMOS = range(0x70, 0x72)
# i8042 status: output full for ever, so that Linux sees no controller; input
# empty, so that its reset loop does not wait 65536 times.
I8042_STATUS = 0xFD


class Reset(Exception):  # noqa: N818  # it is not an error: the guest asked for it
    """The guest pulled its reset line."""


class Ports:
    """The I/O port space of a guest.

    Args:
        serial: The device at COM1.
    """

    def __init__(self, serial: Serial) -> None:
        self._serial = serial
        self.unclaimed: Counter[int] = Counter()

    def read(self, port: int, size: int, count: int) -> bytes:
        """Answer an IN, or `count` of them.

        Args:
            port: The port.
            size: Bytes of one access: 1, 2 or 4.
            count: How many accesses a string instruction makes.

        Returns:
            The answers, `size * count` bytes.
        """
        if port in COM1 and size == 1:
            return bytes(self._serial.read(port - COM1.start) for _ in range(count))
        self.unclaimed[port] += 1
        if port == I8042_COMMAND:
            return bytes((I8042_STATUS,)) * (size * count)
        if port == SYSTEM_CONTROL or port in CMOS:
            return bytes(size * count)
        return b"\xff" * (size * count)

    def write(self, port: int, size: int, content: bytes) -> None:
        """Serve an OUT, or several at once.

        Args:
            port: The port.
            size: Bytes of one access: 1, 2 or 4.
            content: What is written, one or more accesses.

        Raises:
            Reset: The guest asked for a reset.
        """
        if port in COM1 and size == 1:
            self._serial.write_many(port - COM1.start, content)
            return
        self.unclaimed[port] += 1
        value = content[0]
        if (
            (port == I8042_COMMAND and value == PULSE_RESET)
            or (port == SYSTEM_CONTROL and value & FAST_RESET)
            or (port == CF9 and value & CF9_RESET)
        ):
            raise Reset(f"guest wrote {value:#x} to port {port:#x}")
