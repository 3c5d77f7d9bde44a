/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU on a CPU that no kernel runs on. What is here is used by the pure files, too. */
#ifndef CT_RESIDENT_H
#define CT_RESIDENT_H

#include "../core/check.h"

/* Fields of a VMCB that only a resident's has. */
#define I0_CR8_WRITE	BIT(24)
#define I3_VINTR	BIT(4)
#define I3_RDPMC	BIT(15)
#define I3_CPUID	BIT(18)
#define I3_RSM		BIT(19)
#define I3_HLT		BIT(24)
#define I3_IOIO		BIT(27)
#define I3_TASK_SWITCH	BIT(29)
#define I4_MONITOR	BIT(10)
#define I4_MWAIT	(BIT(11) | BIT(12))
#define I4_XSETBV	BIT(13)
#define EVENT_INTR(v)	(EVENT_VALID | (v))
#define EXIT_VINTR	0x64
#define EXIT_CPUID	0x72
#define EXIT_HLT	0x78

#define XSAVE_BV	512	/* offset in an XSAVE image: which components it has */

/* What another CPU asks of one that runs a resident vCPU. */
enum { ASK_NOTHING, ASK_STOP, ASK_LEAVE };

/**
 * struct resident - a resident vCPU, in private memory of its CPU
 * @gpr: its registers, as in struct regs
 * @wide: XCR0 of the CPU
 * @entries: how often it was entered
 * @halted: it executed HLT
 * @armed: the CPU's own timer runs
 * @posted: interrupts that siblings have sent, and that are not in the APIC yet
 * @own: private copy of what came with it; its APIC lives on there
 * @pt: its nested table
 */
struct resident {
	u64 gpr[14];
	u64 wide;
	u64 entries;
	bool halted;
	bool armed;
	u32 posted[8];
	struct caretaker_vcpu *own;
	struct pt pt;
};

/**
 * enum apic_done - what became of an access to the local APIC
 * @APIC_DONE: it is served
 * @APIC_PARK: nothing has changed; KVM has to serve it
 * @APIC_FAULT: nothing has changed; it is #GP
 */
enum apic_done { APIC_DONE, APIC_PARK, APIC_FAULT };

/* vapic.c: the local APIC, in x2APIC mode. Pure. */

u32 apic_tpr(const u8 *apic);
bool apic_timer_ok(const u8 *apic);
u32 apic_pending(const u8 *apic);
void apic_accept(u8 *apic, u32 vector);
void apic_raise(u8 *apic, u32 vector);
void apic_merge(u8 *apic, u32 posted[8]);
bool apic_timer(u8 *apic);
bool ipi_ok(u64 icr);
bool ipi_is_for(const u8 *apic, u64 icr, bool sender);
bool apic_by_deadline(const u8 *apic);
enum apic_done apic_read(const u8 *apic, u32 msr, u64 *value);
enum apic_done apic_write(u8 *apic, u32 msr, u64 value);

/* validate.c: what may become a resident vCPU, and on which VMCB. Pure. */
bool xcr0_ok(u64 xcr0, u64 wide);
bool xsave_ok(const u8 *image, u64 xcr0);
bool vcpu_ok(const struct limits *l, const struct caretaker_vcpu *v, u64 wide);
bool save_ok(const struct limits *l, const u8 *save);
bool run_ok(const struct limits *l, const struct caretaker_memory *run);

void make_vmcb(struct vmcb *v, const struct caretaker_vcpu *from);
void lend_msrs(u8 *msrpm);

#endif
