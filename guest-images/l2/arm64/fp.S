/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern in the 32 vector registers, both halves, each register's unlike the others', made from a seed. FPCR is
 * left alone. Used on bare metal, where nothing else touches these registers, and around a sleep in Linux.
 */
	.arch armv8-a+fp+simd
	.text

	.macro constant
	movz x9, #0xe995
	movk x9, #0x5bd1, lsl #16
	.endm

/* void fp_arm(uint64_t seed) */
	.globl fp_arm
fp_arm:
	constant
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	dup v\n\().2d, x0
	ror x0, x0, #57
	add x0, x0, x9
	.endr
	.irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	dup v\n\().2d, x0
	ror x0, x0, #57
	add x0, x0, x9
	.endr
	ret

/* int fp_intact(uint64_t seed): reads the registers, changes none. */
	.macro check n
	umov x10, v\n\().d[0]
	umov x11, v\n\().d[1]
	cmp x10, x0
	ccmp x11, x0, #0, eq
	b.ne 1f
	ror x0, x0, #57
	add x0, x0, x9
	.endm

	.globl fp_intact
fp_intact:
	constant
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	check \n
	.endr
	.irp n, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31
	check \n
	.endr
	mov w0, #1
	ret
1:	mov w0, #0
	ret

	.section .note.GNU-stack, "", @progbits
