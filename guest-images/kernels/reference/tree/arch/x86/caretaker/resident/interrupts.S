/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Interrupts of a CPU that runs a resident vCPU. GIF is 0 below; here it is 1 for
 * a moment. An interrupt is only acknowledged: which CPU sent it, or what the timer
 * was set for, is found by looking at shared state.
 */
#include "../core/msr.h"

	.text
	.globl	take_interrupts, wait_for_interrupt, irq_stub, nmi_stub

/* void take_interrupts(void): let in what is pending */
take_interrupts:
	stgi
	sti
	nop
	nop
	cli
	clgi
	ret

/*
 * void wait_for_interrupt(void): STI takes effect after HLT has begun, so an interrupt
 * that came before ends the HLT at once
 */
wait_for_interrupt:
	stgi
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
	movl	$MSR_X2APIC_EOI, %ecx
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
