# SPDX-License-Identifier: Apache-2.0
"""A 16550A serial port with its output in a file: as much of it as Linux's 8250 driver wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
DLL, DLM, THRE_ARMED = 8, 9, 10  # kept beside the real registers
LINE = 16  # whether the interrupt line is up
STATE_BYTES = 32
DLAB, LOOP, THRI, FIFO_ON = 0x80, 0x10, 0x02, 0x01
NO_INTERRUPT, THR_EMPTY, FIFOS = 0x01, 0x02, 0xC0
TRANSMITTER_EMPTY = 0x60
LINES_UP = 0xB0  # DCD, DSR, CTS: there is a listener


class Buffer(Protocol):
    """Bytes that can be changed: a bytearray, or a shared mapping that outlives the VMM."""

    def __getitem__(self, at: int, /) -> int: ...
    def __setitem__(self, at: int, value: int, /) -> None: ...


class SerialPort:
    """What every model of a port has; all of its state is in `registers`, for an adopter.

    Args:
        write: Called with the bytes that the guest sends.
        set_irq: Called with the interrupt line's new level, when it changes.
        registers: STATE_BYTES of state; a port after reset if None.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        set_irq: Callable[[bool], object],
        registers: Buffer | None = None,
    ) -> None:
        self._write = write
        self._set_irq = set_irq
        self._r: Buffer = bytearray(STATE_BYTES) if registers is None else registers

    def _drive(self, *, level: bool) -> None:
        if level != bool(self._r[LINE]):
            self._r[LINE] = level
            self._set_irq(level)


class Serial(SerialPort):
    """A 16550A, as far as Linux's 8250 driver needs one."""

    def read(self, register: int) -> int:
        """Answer a read of one register.

        Args:
            register: 0 to 7.

        Returns:
            Its value, 8 bits.
        """
        r = self._r
        if r[LCR] & DLAB and register in {RBR_THR, IER}:
            return r[DLL + register]
        match register:
            case 0:  # there is no input
                return 0
            case 2:
                return self._identify()
            case 5:
                return TRANSMITTER_EMPTY
            case 6:
                return self._modem_status()
            case _:
                return r[register]

    def write(self, register: int, value: int) -> None:
        """Serve a write to one register.

        Args:
            register: 0 to 7.
            value: 8 bits.
        """
        r = self._r
        if r[LCR] & DLAB and register in {RBR_THR, IER}:
            r[DLL + register] = value
        elif register == RBR_THR:
            self._transmit(bytes((value,)))
        elif register == IER:
            newly = value & ~r[IER] & THRI
            r[IER] = value & 0x0F
            r[THRE_ARMED] = 1 if newly else r[THRE_ARMED] & (r[IER] >> 1)
            self._update()
        elif register in {IIR_FCR, LCR, MCR, SCR}:
            r[register] = value

    def write_many(self, register: int, content: bytes) -> None:
        """Serve a `rep outsb`, all of it at once.

        Args:
            register: 0 to 7.
            content: The bytes, in their order.
        """
        if register == RBR_THR and not self._r[LCR] & DLAB:
            self._transmit(content)
        else:
            for value in content:
                self.write(register, value)

    def _transmit(self, content: bytes) -> None:
        if not self._r[MCR] & LOOP:
            self._write(content)
        self._r[THRE_ARMED] = 1
        if self._r[IER] & THRI:  # the line falls and rises again: IRQ4 is edge-triggered
            self._drive(level=False)
        self._update()

    def _identify(self) -> int:
        pending = self._r[THRE_ARMED] and self._r[IER] & THRI
        if pending:
            self._r[THRE_ARMED] = 0
            self._update()
        fifos = FIFOS if self._r[IIR_FCR] & FIFO_ON else 0
        return fifos | (THR_EMPTY if pending else NO_INTERRUPT)

    def _modem_status(self) -> int:
        control = self._r[MCR]
        if not control & LOOP:
            return LINES_UP
        # in loopback RTS, DTR, OUT1, OUT2 come back as CTS, DSR, RI, DCD
        return (control & 2) << 3 | (control & 1) << 5 | (control & 4) << 4 | (control & 8) << 4

    def _update(self) -> None:
        self._drive(level=bool(self._r[THRE_ARMED] and self._r[IER] & THRI))
