/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern in the 16 XMM registers, both halves, each register's unlike the others', made from a seed. MXCSR is
 * left alone. Used on bare metal, where nothing else touches these registers, and around a sleep in Linux.
 */
	.text

/* void fp_arm(uint64_t seed) */
	.globl fp_arm
fp_arm:
	mov %rdi, %rax
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movq %rax, %xmm\n
	punpcklqdq %xmm\n, %xmm\n
	rol $7, %rax
	add $0x5bd1e995, %rax
	.endr
	ret

/* int fp_intact(uint64_t seed): reads the registers, changes none. */
	.globl fp_intact
fp_intact:
	sub $24, %rsp
	mov %rdi, %rdx
	xor %eax, %eax
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu %xmm\n, (%rsp)
	cmp %rdx, (%rsp)
	jne 1f
	cmp %rdx, 8(%rsp)
	jne 1f
	rol $7, %rdx
	add $0x5bd1e995, %rdx
	.endr
	inc %eax
1:	add $24, %rsp
	ret

	.section .note.GNU-stack, "", @progbits
