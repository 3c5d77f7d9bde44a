/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A vCPU that lives on a CPU of ours: no kernel runs there. What is here is
 * private memory of that CPU, and is touched by others only once it is parked.
 */
#ifndef CT_RESIDENT_H
#define CT_RESIDENT_H

#include "../core/check.h"

/* More of a VMCB than a host needs. */
#define I0_CR8_WRITE	BIT(24)
#define I3_VINTR	BIT(4)
#define I3_RDPMC	BIT(15)
#define I3_CPUID	BIT(18)
#define I3_RSM		BIT(19)
#define I3_INVD		BIT(22)
#define I3_HLT		BIT(24)
#define I3_IOIO		BIT(27)
#define I3_TASK_SWITCH	BIT(29)
#define I4_MONITOR	BIT(10)
#define I4_MWAIT	(BIT(11) | BIT(12))
#define I4_XSETBV	BIT(13)
#define INT_V_IRQ	BIT(8)
#define INT_V_PRIO	(15ULL << 16)
#define INT_V_IGN_TPR	BIT(20)
#define EVENT_INTR(v)	(EVENT_VALID | (v))
#define EXIT_VINTR	0x64
#define EXIT_CPUID	0x72
#define EXIT_HLT	0x78

#define XSAVE_BV	512	/* in an image of XSAVE's: what it has */

enum { ASK_NOTHING, ASK_STOP, ASK_LEAVE };

struct resident {
	u64 gpr[14];		/* struct regs */
	u64 wide;		/* XCR0 of the CPU */
	u64 entries;
	bool halted;
	bool armed;		/* the CPU's own timer is */
	u32 posted[8];		/* interrupts from its siblings; other CPUs write it */
	struct caretaker_vcpu *own;	/* our copy, in which its APIC lives on */
	struct pt pt;
};

/* hypercalls.c, resident.c: for core/. */
struct cpu_memory;
struct regs;
bool vcpu_hypercall(struct cpu_memory *m, struct regs *r, u64 number);
bool host_maps_us(const struct vmcb *host);
void make_gates(u64 idt[256][2]);
void show_vcpu(struct cpu_memory *m);

/* vapic.c: its local APIC, in x2APIC mode. Pure. */
enum apic_done { APIC_DONE, APIC_PARK, APIC_FAULT };

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

/* validate.c: may it become one? Pure. */
bool xcr0_ok(u64 xcr0, u64 wide);
bool xsave_ok(const u8 *image, u64 xcr0);
bool vcpu_ok(const struct limits *l, const struct caretaker_vcpu *v, u64 wide);
bool run_ok(const struct limits *l, const struct caretaker_memory *run);

/* Its VMCB: what it has of its own, and what we add. */
void make_vmcb(struct vmcb *v, const struct caretaker_vcpu *from);
void lend_msrs(u8 *msrpm);

#endif
