/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vectors. Of the 16 entries only the interrupt at EL1 returns: a guest that is well has no other.
 */
#include "cpu.h"

	.text

	.macro entry number
	.balign 0x80
	mov x0, #\number
	mrs x1, esr_el1
	mrs x2, elr_el1
	mrs x3, far_el1
	b trap_report
	.endm

	.balign 0x800
	.globl vectors
vectors:
	.irp number, 0, 1, 2, 3, 4
	entry \number
	.endr

	/* Interrupts stay masked in the handler, so that ELR and SPSR are safe. FP registers are not touched in C. */
	.balign 0x80
	sub sp, sp, #FRAME_SIZE
	stp x0, x1, [sp, #0]
	stp x2, x3, [sp, #16]
	stp x4, x5, [sp, #32]
	stp x6, x7, [sp, #48]
	b interrupt

	.irp number, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	entry \number
	.endr
	.balign 0x80

interrupt:
	stp x8, x9, [sp, #64]
	stp x10, x11, [sp, #80]
	stp x12, x13, [sp, #96]
	stp x14, x15, [sp, #112]
	stp x16, x17, [sp, #128]
	stp x18, x29, [sp, #144]
	str x30, [sp, #160]
	bl interrupt_taken
	ldp x0, x1, [sp, #0]
	ldp x2, x3, [sp, #16]
	ldp x4, x5, [sp, #32]
	ldp x6, x7, [sp, #48]
	ldp x8, x9, [sp, #64]
	ldp x10, x11, [sp, #80]
	ldp x12, x13, [sp, #96]
	ldp x14, x15, [sp, #112]
	ldp x16, x17, [sp, #128]
	ldp x18, x29, [sp, #144]
	ldr x30, [sp, #160]
	add sp, sp, #FRAME_SIZE
	eret

	.section .note.GNU-stack, "", @progbits
