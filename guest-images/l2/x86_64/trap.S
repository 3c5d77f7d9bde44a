/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One entry for each of the 32 exceptions. Nothing here returns: a guest that is well has none of them.
 */
	.text
	.code64
	.set vector, 0
	.rept 32
	.balign 16
	/* The processor pushed SS, RSP, RFLAGS, CS, RIP, and an error code for some: make it the same for all. */
	.if !((1 << vector) & 0x60227d00)	/* 8, 10-14, 17, 21, 29, 30 */
	push $0
	.endif
	push $vector
	jmp trap_common
	.set vector, vector + 1
	.endr
	.balign 16
	.globl trap_common
trap_common:
	mov %rsp, %rdi
	and $-16, %rsp
	call trap_report

	.globl trap_entries
	.set trap_entries, trap_common - 32 * 16

	.section .note.GNU-stack, "", @progbits
