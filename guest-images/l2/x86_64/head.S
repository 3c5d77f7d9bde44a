/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way into 64-bit C: from PVH for the first vCPU, from real mode for the others.
 */
#include "cpu.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18
#define XSAVE_AND_AVX (1 << 26 | 1 << 28)	/* CPUID.1:ECX */

	.section .note.pvh, "a", @note
	.balign 4
	.long 4				/* size of the name */
	.long 8				/* size of the descriptor: QEMU reads 8 bytes from a 64-bit ELF */
	.long XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad pvh_start32

/*
 * PVH: 32-bit protected mode, paging off, flat segments of unknown selectors, EBX = struct hvm_start_info, no stack.
 * Keep EBX; clear .bss, which a VMM that resets in place may not have done.
 */
	.section .head, "ax"
	.code32
	.globl pvh_start32
pvh_start32:
	cli
	cld
	lgdt gdt_pointer
	ljmp $SEGMENT_CODE32, $1f
1:	mov $SEGMENT_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $bss_start, %edi
	mov $bss_end, %ecx
	sub %edi, %ecx
	xor %eax, %eax
	rep stosb
	mov $first_vcpu, %esi
	jmp to_long_mode

/* Flat 32-bit code, paging off. ESI = where to go on in 64 bits; EBX is kept. */
to_long_mode:
	mov %cr4, %eax
	or $0x620, %eax			/* PAE, and OSFXSR and OSXMMEXCPT for the FP pattern */
	mov %eax, %cr4
	mov $pml4, %eax
	mov %eax, %cr3
	mov $MSR_EFER, %ecx
	rdmsr
	or $0x100, %eax			/* LME */
	wrmsr
	mov $0x80010033, %eax		/* PG WP NE ET MP PE; CD and NW off, which INIT leaves on */
	mov %eax, %cr0
	ljmp $SEGMENT_CODE64, $1f

	.code64
1:	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov %ebx, %ebp
	mov $1, %eax
	xor %ecx, %ecx
	cpuid
	mov %ebp, %ebx
	and $XSAVE_AND_AVX, %ecx
	cmp $XSAVE_AND_AVX, %ecx
	jne 2f
	mov %cr4, %rax
	or $0x40000, %rax		/* OSXSAVE */
	mov %rax, %cr4
	xor %ecx, %ecx
	xor %edx, %edx
	mov $7, %eax			/* XCR0: x87, SSE, AVX */
	xsetbv
2:	mov %esi, %esi
	jmp *%rsi

/* No frame below: RSP is at the top of the first stack, aligned as after a call. */
first_vcpu:
	lea bare_stack + 8192 - 8, %rsp
	mov %ebx, %edi
	jmp pvh_main

/* smp.c gave one stack and one vCPU at a time. */
later_vcpu:
	mov smp_stack, %rsp
	sub $8, %rsp
	mov smp_vcpu, %rdi
	jmp bare_run

	.code32
later_vcpu32:
	mov $SEGMENT_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $later_vcpu, %esi
	jmp to_long_mode

/*
 * Copied to TRAMPOLINE, where SIPI starts it: real mode, CS = TRAMPOLINE >> 4, IP = 0. Addresses are its own
 * offsets; the pointer to the GDT comes with it, for real mode reaches no higher.
 */
	.code16
	.globl trampoline, trampoline_end
trampoline:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	lgdtl trampoline_gdt_pointer - trampoline
	mov %cr0, %eax
	or $1, %eax
	mov %eax, %cr0
	ljmpl $SEGMENT_CODE32, $later_vcpu32
	.balign 4
trampoline_gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt
trampoline_end:

	.section .tables, "aw"
	.balign 8
gdt:	.quad 0
	.quad 0x00af9b000000ffff	/* SEGMENT_CODE64 */
	.quad 0x00cf93000000ffff	/* SEGMENT_DATA */
	.quad 0x00cf9b000000ffff	/* SEGMENT_CODE32 */
gdt_end:
gdt_pointer:
	.word gdt_end - gdt - 1
	.long gdt

/* Virtual is physical for the first 4 GiB, in pages of 2 MiB; the local APIC's uncached (PCD, PWT). */
	.balign 4096
pml4:	.quad pdpt + 0x3
	.fill 511, 8, 0
pdpt:	.quad pd + 0x0003, pd + 0x1003, pd + 0x2003, pd + 0x3003
	.fill 508, 8, 0
pd:
	.set at, 0
	.rept 2048
	.if at == 0xfee00000
	.quad at + 0x9b
	.else
	.quad at + 0x83
	.endif
	.set at, at + 0x200000
	.endr

	.section .note.GNU-stack, "", @progbits
