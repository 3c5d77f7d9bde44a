/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into C: by Linux's boot protocol for the first vCPU (Documentation/arch/arm64/booting.rst: EL1, MMU off, X0 =
 * FDT), by PSCI CPU_ON for the others.
 *
 * Nothing is written before the MMU is on. With it off memory is Device: exclusives may fault, and writes would pass
 * by what the VMM's cached writes left.
 */
#include "cpu.h"

	.section .head, "ax"
	.globl image_start
image_start:
	b first_vcpu
	.long 0
	.quad text_offset		/* from a multiple of 2 MiB, here: from where RAM begins */
	.quad image_size
	.quad 0xa			/* little endian, 4 KiB pages, anywhere in memory */
	.quad 0, 0, 0
	.ascii "ARM\x64"
	.long 0

/* Keep X0 in X19; clear .bss, which a VMM that resets in place may not have done. No frame below. */
first_vcpu:
	mov x19, x0
	bl mmu_on
	ldr x0, =bss_start
	ldr x1, =bss_end
1:	stp xzr, xzr, [x0], #16
	cmp x0, x1
	b.lo 1b
	ldr x0, =bare_stack + 8192
	mov sp, x0
	mov x0, x19
	mov x29, xzr
	mov x30, xzr
	b fdt_main

/* X0 = the vCPU, as smp.c asked for it, which also gave it a stack. One at a time. */
	.globl later_vcpu
later_vcpu:
	mov x19, x0
	bl mmu_on
	ldr x0, =smp_stack
	ldr x0, [x0]
	mov sp, x0
	mov x0, x19
	mov x29, xzr
	mov x30, xzr
	b bare_run

/* Virtual is physical. Uses X9 and X10. Whoever loaded this elsewhere than it is linked gets no further. */
mmu_on:
	adr x9, image_start
	ldr x10, =image_start
	cmp x9, x10
1:	b.ne 1b
	msr daifset, #0xf
	ldr x9, =0xff00			/* attribute 0: Device-nGnRnE; 1: Normal, write-back */
	msr mair_el1, x9
	ldr x9, =0x00803519		/* T0SZ = 39 bits from level 1; walks inner shareable, write-back; no TTBR1 */
	msr tcr_el1, x9
	ldr x9, =page_table
	msr ttbr0_el1, x9
	ldr x9, =vectors
	msr vbar_el1, x9
	mov x9, #3 << 20		/* CPACR: no trap of FP */
	msr cpacr_el1, x9
	tlbi vmalle1
	ic iallu
	dsb nsh
	isb
	ldr x9, =0x30d01805		/* RES1 bits, I, C, M */
	msr sctlr_el1, x9
	isb
	ret

	.ltorg

	.section .tables, "aw"
	.balign 4096
/* 1 GiB each: devices, never executed; then 3 GiB of RAM, inner shareable. */
page_table:
	.quad 0x0060000000000401
	.quad 0x0000000040000705, 0x0000000080000705, 0x00000000c0000705
	.fill 508, 8, 0

	.section .note.GNU-stack, "", @progbits
