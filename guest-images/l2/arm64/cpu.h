/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor's instructions, and the machine's addresses: QEMU's `virt`, which labvmm lays out alike. Included by C
 * and, up to the guard, by assembly.
 */
#ifndef ARM64_CPU_H
#define ARM64_CPU_H

#define GICD_BASE 0x08000000
#define GICR_BASE 0x080a0000
#define UART_BASE 0x09000000

/* The frame that trap.S makes on the stack: x0 to x18, x29, x30, and one to keep it aligned. */
#define FRAME_SIZE 176

#ifndef __ASSEMBLER__

#include <stdint.h>

#define sysreg_read(name)                                                                                              \
	({                                                                                                             \
		uint64_t value_;                                                                                       \
		asm volatile("mrs %0, " name : "=r"(value_) : : "memory");                                             \
		value_;                                                                                                \
	})
#define sysreg_write(name, value) asm volatile("msr " name ", %0" : : "r"((uint64_t)(value)) : "memory")

/* ISB keeps what follows from being done, and a counter from being read, before what precedes. */
static inline void isb(void)
{
	asm volatile("isb" : : : "memory");
}

static inline uint64_t read_counter(void)
{
	isb();
	return sysreg_read("cntvct_el0");
}

/*
 * One plain load or store of one register each: what a hypervisor can emulate from the syndrome alone, without
 * reading the guest's code, which nobody may in a protected guest.
 */
static inline uint32_t mmio_read(uintptr_t at)
{
	uint32_t value;

	asm volatile("ldr %w0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return value;
}

static inline void mmio_write(uintptr_t at, uint32_t value)
{
	asm volatile("str %w0, [%1]" : : "rZ"(value), "r"(at) : "memory");
}

static inline uint64_t mmio_read64(uintptr_t at)
{
	uint64_t value;

	asm volatile("ldr %0, [%1]" : "=r"(value) : "r"(at) : "memory");
	return value;
}

#endif
#endif
