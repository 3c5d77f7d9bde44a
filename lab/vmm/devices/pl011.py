# SPDX-License-Identifier: Apache-2.0
"""A PL011 serial port with its output in a file: as much of it as Linux's driver wants."""

from __future__ import annotations

from .serial import SerialPort

DR, FR, ICR, MIS = 0x00, 0x18, 0x44, 0x40
# what is kept, two bytes each: IBRD FBRD LCR_H CR IFLS IMSC RIS DMACR
REGISTERS = {0x24: 0, 0x28: 2, 0x2C: 4, 0x30: 6, 0x34: 8, 0x38: 10, 0x3C: 12, 0x48: 14}
IMSC, RIS = REGISTERS[0x38], REGISTERS[0x3C]
READ_ONLY = frozenset({0x3C})
IDENTITY = 0xFE0
# PeriphID and PCellID, one byte in each word
IDENTITIES = b"\x11\x10\x14\x00\x0d\xf0\x05\xb1"
RECEIVER_EMPTY, TRANSMITTER_EMPTY = 0x10, 0x80
TX = 1 << 5
WORD = 0xFFFF


class Pl011(SerialPort):
    """A PL011, as far as Linux's driver needs one.

    Source: Arm PrimeCell UART (PL011) Technical Reference Manual, Programmers Model.
    """

    def read(self, register: int) -> int:
        """Answer a read of one register.

        Args:
            register: Its offset in the device's page, in bytes.

        Returns:
            Its value, 32 bits.
        """
        if register == FR:
            return RECEIVER_EMPTY | TRANSMITTER_EMPTY
        if register == MIS:
            return self._get(RIS) & self._get(IMSC)
        if register >= IDENTITY:
            return IDENTITIES[(register - IDENTITY) // 4]
        return self._get(REGISTERS[register]) if register in REGISTERS else 0

    def write(self, register: int, value: int) -> None:
        """Serve a write to one register; a byte that is sent is out at once.

        Args:
            register: Its offset in the device's page, in bytes.
            value: 32 bits.
        """
        if register == DR:
            self._write(bytes((value & 0xFF,)))
            self._put(RIS, self._get(RIS) | TX)
        elif register == ICR:
            self._put(RIS, self._get(RIS) & ~value)
        elif register in REGISTERS and register not in READ_ONLY:
            self._put(REGISTERS[register], value)
        self._update()

    def _get(self, at: int) -> int:
        return self._r[at] | self._r[at + 1] << 8

    def _put(self, at: int, value: int) -> None:
        self._r[at] = value & 0xFF
        self._r[at + 1] = (value & WORD) >> 8

    def _update(self) -> None:
        self._drive(level=bool(self._get(RIS) & self._get(IMSC)))
