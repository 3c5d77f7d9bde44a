// SPDX-License-Identifier: Apache-2.0
/*
 * Characters out of the first serial port, by polling. Its settings are left as the VMM made them.
 */
#include "../bare.h"
#include "cpu.h"

#define SERIAL 0x3f8
#define SERIAL_STATUS (SERIAL + 5)
#define SERIAL_CAN_TAKE 0x20

/* Bounded: a small VMM may have a data port and no status port. */
void arch_put(char c)
{
	for (int tries = 64; tries && !(inb(SERIAL_STATUS) & SERIAL_CAN_TAKE); tries--)
		;
	outb(SERIAL, (uint8_t)c);
}
