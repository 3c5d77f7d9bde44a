/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The interface between Linux and the caretaker below it. What a kernel has to know of, and
 * did not from the first, is a bit of CARETAKER_FEATURES; a change that a bit cannot tell
 * of changes CARETAKER_ABI. It is described in Documentation/virt/caretaker.rst.
 *
 * Shared by Linux, by the caretaker, which knows nothing of Linux, and by
 * tests that are compiled for userspace: nothing is included here.
 */
#ifndef _ASM_X86_CARETAKER_ABI_H
#define _ASM_X86_CARETAKER_ABI_H

#define CARETAKER_ABI		3
#define CARETAKER_MAGIC		0x4b415443	/* "CTAK" */
#define CARETAKER_MAX_CPUS	64

/*
 * Version of what one kernel hands over to the next: the ABI above, and that of the
 * record of a vCPU (linux/caretaker.h). It is in the kernel_info of a kernel's image.
 */
#define CARETAKER_HANDOVER	(CARETAKER_ABI << 8 | 1)

/*
 * What this kernel knows, and what its own caretaker has: the window says it of the one that
 * is below, and the kernel_info of an image, behind the version, of the kernel. All that
 * the caretaker below has the next kernel must know.
 */
#define CARETAKER_HAS_ABANDON	1	/* the last CPU leaves a vCPU only with CARETAKER_ABANDON */
#define CARETAKER_FEATURES	CARETAKER_HAS_ABANDON

/* Hypercalls: VMMCALL at CPL 0, number in RAX[11:0], page address in RAX[63:12]. */
#define CARETAKER_HC_INFO	0	/* -> RBX magic, RCX ABI, RDX this CPU's index */
#define CARETAKER_HC_RUN	1	/* page: VMCB; all GPRs but RAX and RSP are the guest's */
#define CARETAKER_HC_RELEASE	2	/* returns outside; RCX and RDX are lost; RBX: see below */
#define CARETAKER_HC_DIGEST	3	/* -> RBX FNV-1a of the caretaker's text as it is now */
#define CARETAKER_HC_REGION	4	/* -> RBX private memory, RCX its size, RDX the window */
#define CARETAKER_HC_HOLD	5	/* page: struct caretaker_vcpu, which this CPU runs from now on */
#define CARETAKER_HC_STOP	6	/* RBX: CPU whose vCPU has to park; see its state in the window */
#define CARETAKER_HC_FETCH	7	/* page: struct caretaker_vcpu; RBX: CPU; once only */

/* RBX of RELEASE: also if nobody could then stop a resident vCPU any more. */
#define CARETAKER_ABANDON	0x4e424154	/* "TABN" */

/* Errors in RAX: Linux's numbers. */
#define CARETAKER_EPERM		(-1)
#define CARETAKER_EBUSY		(-16)
#define CARETAKER_ENODEV	(-19)
#define CARETAKER_EINVAL	(-22)
#define CARETAKER_ENOSPC	(-28)
#define CARETAKER_ENOSYS	(-38)

/* Counters of a CPU, in the order of the status page. */
#define CARETAKER_COUNTERS(x)						\
	x(EXITS, "exits")		/* all but those of guests */	\
	x(HYPERCALL, "hypercall")					\
	x(RUN, "run")			/* guest entries */		\
	x(MSR, "msr")			/* MSR accesses looked at */	\
	x(ICR, "icr")			/* IPIs looked at */		\
	x(ICR_REFUSED, "icr_refused")	/* INIT, SIPI and the like */	\
	x(PRIVATE, "private")		/* attempts on private memory */ \
	x(NPF_OTHER, "npf_other")	/* no such memory */		\
	x(SVM_REFUSED, "svm_refused")	/* the host's own SVM use */	\
	x(MSR_REFUSED, "msr_refused")					\
	x(HC_REFUSED, "hypercall_refused")				\
	x(VMCB_REFUSED, "vmcb_refused")					\
	x(HC_USER, "hypercall_user")	/* not from CPL 0 */		\
	x(FILL, "fill")			/* nested faults of guests, served */ \
	x(NMI, "nmi")			/* guest exits for an NMI */	\
	x(INTR, "intr")			/* guest exits for an IRQ */	\
	x(MAX_TSC, "max_tsc")		/* longest stay, TSC ticks */

#define CARETAKER_ENUM(id, name)	CARETAKER_C_##id,

#define CARETAKER_BUILD		64	/* bytes of its name, with a 0 at the end */

#ifndef __ASSEMBLER__

enum { CARETAKER_COUNTERS(CARETAKER_ENUM) CARETAKER_NR_COUNTERS };

enum {
	CARETAKER_CPU_OUT,	/* native */
	CARETAKER_CPU_IN,	/* swallowed */
	CARETAKER_CPU_DEAD,	/* stopped by the caretaker, which logged why */
	CARETAKER_CPU_HELD,	/* runs a resident vCPU */
	CARETAKER_CPU_PARKED,	/* its vCPU has stopped, and can be fetched */
	CARETAKER_CPU_LEAVING,	/* its vCPU was fetched; will be HALTED */
	CARETAKER_CPU_HALTED,	/* native, in code of the caretaker's, until an INIT */
};

struct caretaker_cpu_status {
	unsigned int state;
	unsigned int apic_id;
	unsigned long long counter[CARETAKER_NR_COUNTERS];
	/* While HELD: how often its vCPU was entered, and its last exit. */
	unsigned long long entries, exit_code, exit_info_1, exit_info_2, rip;
};

/*
 * Shared with the host: the caretaker writes, and never reads it back. It is no more
 * trustworthy than the host is.
 */
struct caretaker_window {
	unsigned int magic;
	unsigned int abi;
	unsigned int levels;		/* of its page tables, and so of the host's: 4 or 5 */
	unsigned int features;		/* CARETAKER_HAS_* */
	unsigned long long log_end;	/* bytes ever logged */
	struct caretaker_cpu_status cpu[CARETAKER_MAX_CPUS];
	unsigned char log[12288];
};

/* At offset 0 of the image; offsets are from there. */
struct caretaker_image {
	unsigned int magic;
	unsigned int abi;
	unsigned int size;		/* with bss */
	unsigned int text_end;
	unsigned int data_start;
	unsigned int init;		/* long init(const struct caretaker_params *) */
	unsigned int enter;		/* long enter(unsigned long cpu) */
	unsigned int cpu_size;		/* memory a CPU needs */
	char build[CARETAKER_BUILD];	/* LOCALVERSION of the kernel whose image it is */
};

/* Mutants, which tests have to catch: */
#define CARETAKER_MUTANT_OPEN		1u	/* does not hide its memory */
#define CARETAKER_MUTANT_TRUSTING	2u	/* Linux does not check the next kernel */
#define CARETAKER_MUTANT_INITS		4u	/* lets any IPI through */

/* All addresses are those of whole pages; sizes are in bytes. */
struct caretaker_params {
	unsigned int abi;
	unsigned int cpus;
	unsigned int mutant;
	unsigned int phys_bits;
	unsigned long long pa, va, size;	/* private memory */
	unsigned long long window;		/* physical, outside of it */
};

/*
 * A vCPU on its way to a CPU of the caretaker's, and back. Whole pages: its description, a
 * VMCB of which only the save area counts, its FPU in XSAVE's standard form, its APIC as
 * KVM_GET_LAPIC returns it, and CPUID.
 */
#define CARETAKER_VCPU_BYTES	(5 * 4096)
#define CARETAKER_RUNS		256	/* in a page of them */
#define CARETAKER_LISTS		256
#define CARETAKER_CPUIDS	100
#define CARETAKER_MSRS		32

struct caretaker_memory {		/* a run of guest memory */
	unsigned long long gpa;
	unsigned long long pa;		/* in the low bits: pages, less than 4096 */
};

struct caretaker_cpuid {
	unsigned int leaf, subleaf, by_subleaf, eax, ebx, ecx, edx;
};

struct caretaker_msr {
	unsigned int index, reserved;
	unsigned long long value;
};

struct caretaker_vcpu {
	unsigned int magic;
	unsigned int abi;
	unsigned int lists;		/* pages of CARETAKER_RUNS runs of memory */
	unsigned int cpuids;
	unsigned int msrs;		/* that it may read, or write with the same value */
	unsigned int timer_khz;		/* of the CPU's APIC, undivided */
	unsigned long long guest[2];	/* random, the same for all vCPUs of the guest, */
	unsigned long long members;	/* which are so many: none runs before all are there */
	unsigned long long tsc_khz;
	unsigned long long tsc_offset;
	unsigned long long xcr0;
	unsigned long long tsc_aux;
	unsigned long long tsc_deadline;	/* of its own TSC; 0: none */
	unsigned long long gpr[16];	/* RAX, RCX, RDX, RBX, RSP ... in the processor's order */
	unsigned long long event;	/* to be delivered first, as in EVENTINJ */
	unsigned long long int_state;
	unsigned long long halted;	/* in HLT, which RIP is after */
	unsigned long long exit_code, exit_info_1, exit_info_2;	/* why it stopped */
	unsigned long long entries;
	unsigned long long list[CARETAKER_LISTS];
	struct caretaker_msr msr[CARETAKER_MSRS];
	unsigned char save[4096] __attribute__((aligned(4096)));
	unsigned char xsave[4096];
	unsigned char apic[4096];
	struct caretaker_cpuid cpuid[CARETAKER_CPUIDS];
};

_Static_assert(sizeof(struct caretaker_vcpu) == CARETAKER_VCPU_BYTES, "whole pages");

#endif /* !__ASSEMBLER__ */
#endif
