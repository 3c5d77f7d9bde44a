/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way down, the way up, and the loop in between.
 *
 * The image is linked at 0, runs where Linux has mapped it, and our own page
 * table has it at that same address: so CR3 can be switched under our feet.
 * Below, GIF is 0: nothing interrupts us. See Documentation/virt/caretaker.rst.
 */
#include "../../include/asm/caretaker_abi.h"
#include "layout.h"
#include "msr.h"

.macro GPRS op
	\op	rcx, 0x00
	\op	rdx, 0x08
	\op	rbx, 0x10
	\op	rbp, 0x18
	\op	rsi, 0x20
	\op	r8,  0x30
	\op	r9,  0x38
	\op	r10, 0x40
	\op	r11, 0x48
	\op	r12, 0x50
	\op	r13, 0x58
	\op	r14, 0x60
	\op	r15, 0x68
.endm

	.section .head, "a"
	.globl	image
image:	.long	CARETAKER_MAGIC
	.long	CARETAKER_ABI
	.long	image_end - image
	.long	text_end - image
	.long	data_start - image
	.long	init - image
	.long	enter - image
	.long	CPU_BYTES + SHADOWS * SHADOW_BYTES
1:	.asciz	CT_BUILD; .org 1b + CARETAKER_BUILD

	.text
/*
 * long enter(unsigned long cpu): called by Linux with interrupts off. Comes
 * back to the caller either way: with an error as ever, or with 0 below us.
 */
	.globl	enter
enter:	endbr64
	pushq	%rdi
	leaq	16(%rsp), %rsi		/* RSP once we have returned */
	movq	8(%rsp), %rdx		/* and RIP */
	pushfq
	popq	%rcx
	call	capture			/* callee-saved registers stay the host's */
	addq	$8, %rsp
	cmpq	$-4095, %rax
	jb	1f
	ret				/* refused; nothing was changed */

1:	movq	%rax, %rdi		/* struct cpu_memory */
	clgi
	movq	CPU_DATA + DATA_CT_CR4(%rdi), %rax
	movq	%rax, %cr4
	movq	CPU_DATA + DATA_CT_CR3(%rdi), %rax
	movq	%rax, %cr3
	leaq	CPU_STACK_TOP - FRAME_BYTES(%rdi), %rsp
	movq	%rdi, FRAME_CPU(%rsp)
	lgdt	CPU_DATA + DATA_CT_GDTR + 6(%rdi)
	lidt	CPU_DATA + DATA_CT_IDTR + 6(%rdi)
	movl	$SEL_DATA, %eax
	movl	%eax, %ss
	movl	%eax, %ds
	movl	%eax, %es
	movl	$MSR_VM_HSAVE_PA, %ecx
	movq	CPU_DATA + DATA_PA(%rdi), %rax
	addq	$CPU_HSAVE, %rax
	movq	%rax, %rdx
	shrq	$32, %rdx
	wrmsr
	movq	CPU_DATA + DATA_PA(%rdi), %rax
	addq	$CPU_HOST, %rax
	jmp	go			/* FS, GS, TR ... are the host's already */

/* Let the host go on, until it does something that we look at. */
resume:	movq	FRAME_CPU(%rsp), %rax
	movq	CPU_DATA + DATA_PA(%rax), %rax
	addq	$CPU_HOST, %rax
	vmload	%rax
	.macro LOAD reg, at
	movq	\at(%rsp), %\reg
	.endm
	GPRS	LOAD
	movq	0x28(%rsp), %rdi
go:	vmrun	%rax
	.macro STORE reg, at
	movq	%\reg, \at(%rsp)
	.endm
	GPRS	STORE
	movq	%rdi, 0x28(%rsp)
	vmsave	%rax
	addq	$CPU_CT_STATE - CPU_HOST, %rax
	vmload	%rax
	movq	FRAME_CPU(%rsp), %rdi
	movq	%rsp, %rsi
	call	host_exit
	testl	%eax, %eax
	jz	resume

/* Up again: host_exit() has put what is needed into struct cpu. */
	movq	FRAME_CPU(%rsp), %rdi
	movq	CPU_DATA + DATA_PA(%rdi), %rax
	vmload	%rax
	movq	VMCB_CR3(%rdi), %rax
	movq	%rax, %rcx
	andq	$~0xfff, %rcx		/* no PCID before CR4.PCIDE is set */
	movq	%rcx, %cr3
	movq	VMCB_CR4(%rdi), %rcx
	movq	%rcx, %cr4
	movq	%rax, %cr3
	movq	VMCB_CR0(%rdi), %rax
	movq	%rax, %cr0
	movq	VMCB_CR2(%rdi), %rax
	movq	%rax, %cr2
	movq	VMCB_DR6(%rdi), %rax
	movq	%rax, %db6
	movq	VMCB_DR7(%rdi), %rax
	movq	%rax, %db7
	lgdt	CPU_DATA + DATA_HOST_GDTR + 6(%rdi)
	lidt	CPU_DATA + DATA_HOST_IDTR + 6(%rdi)
	movl	VMCB_DS(%rdi), %eax	/* upper half is the attributes: ignored */
	movl	%eax, %ds
	movl	VMCB_ES(%rdi), %eax
	movl	%eax, %es
	movl	VMCB_SS(%rdi), %eax
	movl	%eax, %ss
	movl	$MSR_VM_HSAVE_PA, %ecx
	movl	CPU_DATA + DATA_HOST_HSAVE(%rdi), %eax
	movl	CPU_DATA + DATA_HOST_HSAVE + 4(%rdi), %edx
	wrmsr
	stgi				/* an NMI from here on finds Linux's tables */
	movl	$MSR_EFER, %ecx
	movl	CPU_DATA + DATA_HOST_EFER(%rdi), %eax
	movl	CPU_DATA + DATA_HOST_EFER + 4(%rdi), %edx
	wrmsr
	GPRS	LOAD
	movq	VMCB_RIP(%rdi), %rcx
	movq	VMCB_RFLAGS(%rdi), %rdx
	movq	VMCB_RSP(%rdi), %rax
	movq	0x28(%rsp), %rdi
	movq	%rax, %rsp
	pushq	%rdx			/* not IRET: this may be an NMI's handler */
	xorl	%eax, %eax
	popfq
	jmp	*%rcx

/* void run_guest(u64 vmcb_pa, struct regs *regs, u64 ct_state_pa): enter a guest. RFLAGS.IF is 1, so
 * that an interrupt ends its run. */
	.globl	run_guest
run_guest:
	pushq	%rbx
	pushq	%rbp
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	pushq	%rdx
	pushq	%rsi
	movq	%rdi, %rax
	vmload	%rax
	movq	%rsi, %rdi
	.macro FETCH reg, at
	movq	\at(%rdi), %\reg
	.endm
	GPRS	FETCH
	movq	0x28(%rdi), %rdi
	sti				/* with GIF 0: only says that interrupts end it */
	nop				/* STI's shadow is not the guest's */
	vmrun	%rax
	cli
	vmsave	%rax
	popq	%rax
	.macro KEEP reg, at
	movq	%\reg, \at(%rax)
	.endm
	GPRS	KEEP
	movq	%rdi, 0x28(%rax)
	popq	%rax
	vmload	%rax
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%rbp
	popq	%rbx
	ret

/* bool try_rdmsr(u32 no, u64 *value): read an MSR; false if it is #GP */
	.globl	try_rdmsr
try_rdmsr:
	movl	%edi, %ecx
rdmsr_insn:
	rdmsr
	shlq	$32, %rdx
	orq	%rdx, %rax
	movq	%rax, (%rsi)
	movl	$1, %eax
	ret

/* bool try_wrmsr(u32 no, u64 value): write an MSR; false if it is #GP */
	.globl	try_wrmsr
try_wrmsr:
	movl	%edi, %ecx
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
wrmsr_insn:
	wrmsr
	movl	$1, %eax
	ret

/*
 * Exceptions of ours: 32 stubs of 16 bytes. None is expected, but #GP of the two
 * instructions above. An NMI is one that came when GIF was 1 by mistake, and no better.
 */
	.balign	16
	.globl	vectors
vectors:
	.set	n, 0
	.rept	32
	.balign	16
	.if !(n == 8 || (n >= 10 && n <= 14) || n == 17 || n == 21 || n == 29 || n == 30)
	pushq	$0
	.endif
	pushq	$n
	jmp	trap
	.set	n, n + 1
	.endr
	.balign	16
trap:	cmpq	$13, (%rsp)
	jne	2f
	leaq	rdmsr_insn(%rip), %rax
	cmpq	%rax, 16(%rsp)
	je	1f
	leaq	wrmsr_insn(%rip), %rax
	cmpq	%rax, 16(%rsp)
	jne	2f
1:	movq	40(%rsp), %rsp		/* not IRET, which would end the blocking of NMIs */
	xorl	%eax, %eax
	ret

2:	movq	%rsp, %rdi
	movq	%cr2, %rsi
	cld
	andq	$~15, %rsp
	call	root_trap

	.globl	halt
halt:	cli
	hlt
	jmp	halt

	.section .note.GNU-stack, "", @progbits
