/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pattern in the 16 vector registers, in all of YMM where AVX may be used and else in XMM, each register's unlike
 * the others', made from a seed. MXCSR is left alone. Used on bare metal, where nothing else touches these registers,
 * and around a sleep in Linux.
 */
#define XMM 1
#define YMM 2

#define OSXSAVE_AND_AVX (1 << 27 | 1 << 28)	/* CPUID.1:ECX */
#define SSE_AND_AVX 6				/* XCR0 */

	.bss
	.globl fp_width
fp_width:
	.byte 0			/* XMM or YMM, once it is known */

	.text

/*
 * RDI = seed, which is kept: see what there is, and not each time, for on a virtual machine CPUID is an exit. All CPUs
 * find the same, and no other value is ever seen.
 */
look:
	push %rbx
	mov $1, %eax
	xor %ecx, %ecx
	cpuid
	pop %rbx
	mov $XMM, %r8d
	and $OSXSAVE_AND_AVX, %ecx
	cmp $OSXSAVE_AND_AVX, %ecx
	jne 1f
	xor %ecx, %ecx
	xgetbv
	and $SSE_AND_AVX, %eax
	cmp $SSE_AND_AVX, %eax
	jne 1f
	mov $YMM, %r8d
1:	movb %r8b, fp_width(%rip)
	ret

	.macro next register
	rol $7, \register
	add $0x5bd1e995, \register
	.endm

/* void fp_arm(uint64_t seed) */
	.globl fp_arm
fp_arm:
	cmpb $0, fp_width(%rip)
	jne 1f
	call look
1:	mov %rdi, %rax
	cmpb $YMM, fp_width(%rip)
	je 2f
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movq %rax, %xmm\n
	punpcklqdq %xmm\n, %xmm\n
	next %rax
	.endr
	ret
2:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovq %rax, %xmm\n
	vpunpcklqdq %xmm\n, %xmm\n, %xmm\n
	vinsertf128 $1, %xmm\n, %ymm\n, %ymm\n
	next %rax
	.endr
	ret

/* int fp_intact(uint64_t seed): reads the registers, changes none. */
	.globl fp_intact
fp_intact:
	sub $40, %rsp
	mov %rdi, %rdx
	xor %eax, %eax
	cmpb $YMM, fp_width(%rip)
	je 2f
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	movdqu %xmm\n, (%rsp)
	.irp at, 0, 8
	cmp %rdx, \at(%rsp)
	jne 1f
	.endr
	next %rdx
	.endr
	inc %eax
1:	add $40, %rsp
	ret
2:
	.irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
	vmovdqu %ymm\n, (%rsp)
	.irp at, 0, 8, 16, 24
	cmp %rdx, \at(%rsp)
	jne 1b
	.endr
	next %rdx
	.endr
	inc %eax
	jmp 1b

	.section .note.GNU-stack, "", @progbits
