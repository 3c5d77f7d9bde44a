// SPDX-License-Identifier: GPL-2.0-only
/* The host's accesses to MSRs with which it could leave guest mode, or reset a CPU. */
#include "core.h"

#define CR0_PG		BIT(31)

static bool write_icr(struct cpu *c, u64 icr)
{
	u32 owned[CARETAKER_MAX_CPUS];
	u32 n = 0, i;

	count(c, CARETAKER_C_ICR);
	for (i = 0; i < g.p.cpus; i++)
		if (!is_native(__atomic_load_n(&g.cpus[i].data.state, __ATOMIC_ACQUIRE)))
			owned[n++] = g.cpus[i].data.apic_id;
	switch (g.p.mutant & CARETAKER_MUTANT_INITS ? ICR_SEND : icr_check(icr, owned, n)) {
	case ICR_SEND:
		wrmsr(MSR_X2APIC_ICR, icr);
		return true;
	case ICR_REFUSE:
		count(c, CARETAKER_C_ICR_REFUSED);
		say(c, "refused an IPI");
		say_value(c, "icr", icr);
		say_end(c);
		return true;
	default:
		return false;
	}
}

static bool write_efer(struct cpu_memory *m, u64 value)
{
	if (!efer_ok(g.efer_known, value, m->host.efer, m->host.cr0 & CR0_PG))
		return false;
	m->data.host_svme = value & EFER_SVME;
	m->host.efer = value | EFER_SVME;
	return true;
}

static bool write_hsave(struct cpu_memory *m, u64 value)
{
	if (value && !page_ok(&g.limits, value, PAGE)) {
		if (overlap(value, PAGE, g.p.pa, g.p.size))
			count(&m->data, CARETAKER_C_PRIVATE);
		return false;
	}
	m->data.host_hsave_pa = value;
	return true;
}

static bool write_msr(struct cpu_memory *m, u32 no, u64 value)
{
	switch (no) {
	case MSR_EFER:
		return write_efer(m, value);
	case MSR_VM_HSAVE_PA:
		return write_hsave(m, value);
	case MSR_X2APIC_ICR:
		return write_icr(&m->data, value);
	case MSR_APIC_BASE:		/* out of x2APIC mode, INITs are not intercepted */
		return value == rdmsr(MSR_APIC_BASE);
	default:			/* the rest of msrpm_host(), and what the map has no bits for */
		return false;
	}
}

static bool read_msr(struct cpu_memory *m, u32 no, u64 *value)
{
	switch (no) {
	case MSR_EFER:
		*value = (m->host.efer & ~EFER_SVME) | m->data.host_svme;
		return true;
	case MSR_VM_HSAVE_PA:
		*value = m->data.host_hsave_pa;
		return true;
	default:
		return false;
	}
}

/**
 * msr_exit() - serve an access to an MSR, or refuse it with #GP
 * @m: memory of this CPU
 * @regs: the host's registers
 */
void msr_exit(struct cpu_memory *m, struct regs *regs)
{
	u64 value = (u32)m->host.rax | regs->rdx << 32;
	u32 no = regs->rcx;
	bool done;

	count(&m->data, CARETAKER_C_MSR);
	if (m->host.exit_info_1) {
		done = write_msr(m, no, value);
	} else {
		done = read_msr(m, no, &value);
		if (done) {
			m->host.rax = (u32)value;
			regs->rdx = value >> 32;
		}
	}
	if (done) {
		skip(&m->host, 2);
		return;
	}
	count(&m->data, CARETAKER_C_MSR_REFUSED);
	inject(&m->host, EVENT_GP);
}
