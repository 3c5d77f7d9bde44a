# SPDX-License-Identifier: Apache-2.0
"""labvmm's serial port, driven as Linux's 8250 driver drives it, and the ports around it."""

from __future__ import annotations

import pytest

from lab.vmm.devices.pio import Ports, Reset
from lab.vmm.devices.serial import (
    IER,
    IIR_FCR,
    LCR,
    LSR,
    MCR,
    MSR,
    RBR_THR,
    SCR,
    STATE_BYTES,
    THRI,
    Serial,
)


class Wire:
    """What a serial port is plugged into: bytes out, and every move of its interrupt line."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.moves: list[bool] = []
        self.port = Serial(self.sent.extend, self.moves.append)


@pytest.fixture
def wire() -> Wire:
    return Wire()


def test_bytes_go_out_as_they_came(wire: Wire) -> None:
    for byte in b"hello":
        wire.port.write(RBR_THR, byte)
    wire.port.write_many(RBR_THR, b" you")
    assert wire.sent == b"hello you"
    assert wire.moves == []


def test_it_is_recognised_as_a_16550a(wire: Wire) -> None:
    port = wire.port
    port.write(IER, 0)
    assert port.read(IER) == 0
    port.write(IER, 0xFF)
    assert port.read(IER) == 0x0F  # bit 6 would be an XScale
    port.write(IER, 0)
    port.write(MCR, 0x10 | 0x0A)
    assert port.read(MSR) & 0xF0 == 0x90
    port.write(MCR, 0)
    port.write(IIR_FCR, 1)
    assert port.read(IIR_FCR) >> 6 == 3
    port.write(SCR, 0xA5)
    assert port.read(SCR) == 0xA5
    assert port.read(LSR) == 0x60


def test_the_divisor_hides_behind_dlab(wire: Wire) -> None:
    wire.port.write(LCR, 0x83)
    wire.port.write(RBR_THR, 1)
    wire.port.write(IER, 0x02)
    assert (wire.port.read(RBR_THR), wire.port.read(IER)) == (1, 2)
    wire.port.write(LCR, 0x03)
    assert wire.port.read(IER) == 0
    assert not wire.sent


def test_nothing_leaves_in_loopback(wire: Wire) -> None:
    wire.port.write(MCR, 0x10)
    wire.port.write(RBR_THR, 65)
    assert not wire.sent


def test_it_passes_linuxs_test_for_lost_transmitter_interrupts(wire: Wire) -> None:
    port = wire.port
    for _ in range(2):
        port.write(IER, THRI)
        assert port.read(IIR_FCR) & 0x0F == 0x02
        port.write(IER, 0)
    assert port.read(IIR_FCR) & 1


def test_every_byte_sent_under_interrupts_is_a_new_edge(wire: Wire) -> None:
    port = wire.port
    port.write(IER, THRI)
    assert wire.moves == [True]
    assert port.read(IIR_FCR) & 0x0F == 0x02
    assert wire.moves == [True, False]
    port.write(RBR_THR, 65)
    port.write(RBR_THR, 66)
    assert wire.moves == [True, False, True, False, True]
    port.write(IER, 0)
    assert wire.moves[-1] is False


def test_an_adopter_takes_the_port_over_with_its_registers() -> None:
    registers = bytearray(STATE_BYTES)
    Serial(lambda _: None, lambda _: None, registers).write(IER, THRI)
    heir = Serial(lambda _: None, lambda _: None, registers)
    assert heir.read(IER) == THRI
    assert heir.read(IIR_FCR) & 0x0F == 0x02


def test_an_empty_bus_reads_as_ones_and_is_counted(wire: Wire) -> None:
    ports = Ports(wire.port)
    assert ports.read(0xCFC, 4, 1) == b"\xff" * 4
    ports.write(0x80, 1, b"\x00")
    assert ports.unclaimed == {0xCFC: 1, 0x80: 1}


def test_absent_keyboard_controller_does_not_delay_reset(wire: Wire) -> None:
    status = Ports(wire.port).read(0x64, 1, 1)[0]
    assert status & 0x01  # output never empties: Linux finds no controller
    assert not status & 0x02  # input is empty: the reset loop goes on at once


@pytest.mark.parametrize(("port", "value"), [(0x64, 0xFE), (0x92, 0x01), (0xCF9, 0x06)])
def test_the_reset_lines_reset(wire: Wire, port: int, value: int) -> None:
    with pytest.raises(Reset, match=f"wrote {value:#x} to port {port:#x}"):
        Ports(wire.port).write(port, 1, bytes((value,)))
