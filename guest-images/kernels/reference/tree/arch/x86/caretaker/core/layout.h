/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Places that C and assembly must agree on; core.h asserts them.
 *
 * The memory of one CPU:
 *   page 0  VMCB of the host			page 1  where VMRUN of the host saves us
 *   page 2  the caretaker's FS, GS, TR ...	page 3  private copy of a guest's VMCB
 *   page 4  struct cpu				page 5  stack of NMI, #DF, #MC
 *   pages 6 and 7  stack			pages 8 and 9  MSR permissions of a guest
 *   page 10 of resident/
 */
#ifndef CT_LAYOUT_H
#define CT_LAYOUT_H

#define CPU_BYTES	0xb000
#define SHADOWS		2	/* shadow tables that a CPU has, */
#define SHADOW_BYTES	0x80000	/* and the size of each */
#define CPU_HOST	0x0000
#define CPU_HSAVE	0x1000
#define CPU_CT_STATE	0x2000
#define CPU_GUEST	0x3000
#define CPU_DATA	0x4000
#define CPU_IST_TOP	0x6000
#define CPU_STACK_TOP	0x8000
#define CPU_MSRPM	0x8000

/* At the top of the stack: all GPRs but RAX and RSP, then the CPU's memory. */
#define FRAME_BYTES	0x80
#define FRAME_CPU	0x70

/* In struct cpu, from CPU_DATA. */
#define DATA_PA		0x00	/* of the CPU's memory */
#define DATA_CT_CR3	0x08	/* the caretaker's own */
#define DATA_CT_CR4	0x10
#define DATA_CT_GDTR	0x18
#define DATA_CT_IDTR	0x28
#define DATA_HOST_GDTR	0x38	/* the host's, loaded at release */
#define DATA_HOST_IDTR	0x48
#define DATA_HOST_HSAVE	0x58
#define DATA_HOST_EFER	0x60

/* In a VMCB. */
#define VMCB_ES		0x400
#define VMCB_SS		0x420
#define VMCB_DS		0x430
#define VMCB_CR4	0x548
#define VMCB_CR3	0x550
#define VMCB_CR0	0x558
#define VMCB_DR7	0x560
#define VMCB_DR6	0x568
#define VMCB_RFLAGS	0x570
#define VMCB_RIP	0x578
#define VMCB_RSP	0x5d8
#define VMCB_RAX	0x5f8
#define VMCB_CR2	0x640

#define CR4_LA57	0x1000

/* Selectors: code and data are where Linux has them, so neither is reloaded. */
#define SEL_CODE	0x10
#define SEL_DATA	0x18
#define SEL_TSS		0x20

#endif
