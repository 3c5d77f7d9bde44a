/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What Linux and the caretaker below it say to each other. This interface is
 * a contract: a change of meaning changes CARETAKER_ABI. The words are in
 * Documentation/virt/caretaker.rst.
 *
 * Shared by Linux, by the caretaker, which knows nothing of Linux, and by
 * tests that are compiled for userspace: nothing is included here.
 */
#ifndef _ASM_X86_CARETAKER_ABI_H
#define _ASM_X86_CARETAKER_ABI_H

#define CARETAKER_ABI		1
#define CARETAKER_MAGIC		0x4b415443	/* "CTAK" */
#define CARETAKER_MAX_CPUS	64

/* Hypercalls: VMMCALL at CPL 0, number in RAX[11:0], page address in RAX[63:12]. */
#define CARETAKER_HC_INFO	0	/* -> RBX magic, RCX ABI, RDX this CPU's index */
#define CARETAKER_HC_RUN	1	/* page: VMCB; all GPRs but RAX and RSP are the guest's */
#define CARETAKER_HC_RELEASE	2	/* returns outside; RCX and RDX are lost */
#define CARETAKER_HC_DIGEST	3	/* -> RBX FNV-1a of the caretaker's text as it is now */

/* Errors in RAX, those of Linux, so that nothing has to be translated. */
#define CARETAKER_EPERM		(-1)
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

#ifndef __ASSEMBLER__

enum { CARETAKER_COUNTERS(CARETAKER_ENUM) CARETAKER_NR_COUNTERS };

enum {
	CARETAKER_CPU_OUT,	/* native */
	CARETAKER_CPU_IN,	/* swallowed */
	CARETAKER_CPU_DEAD,	/* stopped by the caretaker; why is in the log */
};

struct caretaker_cpu_status {
	unsigned int state;
	unsigned int apic_id;
	unsigned long long counter[CARETAKER_NR_COUNTERS];
};

/*
 * The one thing that both may look at: the caretaker writes, and never reads
 * it back. Not private, and not to be trusted more than the host is.
 */
struct caretaker_window {
	unsigned int magic;
	unsigned int abi;
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
};

#define CARETAKER_MUTANT_OPEN	1u	/* does not hide its memory: for tests of the tests */

/* All addresses are those of whole pages; sizes are in bytes. */
struct caretaker_params {
	unsigned int abi;
	unsigned int cpus;
	unsigned int mutant;
	unsigned int phys_bits;
	unsigned long long pa, va, size;	/* private memory */
	unsigned long long window;		/* physical, outside of it */
};

#endif /* !__ASSEMBLER__ */
#endif
