/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of a CPU that is held. GIF is 0 below; here it is 1 for a moment.
 * What comes is only acknowledged: who kicked, or what the timer was set for, is
 * found out by looking.
 */
	.text
	.globl	window, idle, irq_stub, nmi_stub
window:	stgi
	sti
	nop
	nop
	cli
	clgi
	ret

/* STI takes effect after HLT has begun: what came before wakes it at once. */
idle:	stgi
	sti
	hlt
	cli
	clgi
	ret

	.balign	16
irq_stub:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	movl	$0x80b, %ecx		/* EOI */
	xorl	%eax, %eax
	xorl	%edx, %edx
	wrmsr
	popq	%rdx
	popq	%rcx
	popq	%rax
	iretq

/* The return ends the blocking of NMIs. */
	.balign	16
nmi_stub:
	iretq

	.section .note.GNU-stack, "", @progbits
