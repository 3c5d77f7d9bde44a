// SPDX-License-Identifier: GPL-2.0-only
/* The host's accesses to the few MSRs that decide who is below whom. */
#include "core.h"

#define APIC_X2		(BIT(10) | BIT(11))
#define CR0_PG		BIT(31)

static bool write_icr(struct cpu *c, u64 icr)
{
	u32 owned[CARETAKER_MAX_CPUS];
	u32 n = 0, i;

	count(c, CARETAKER_C_ICR);
	for (i = 0; i < g.p.cpus; i++)
		if (__atomic_load_n(&g.cpus[i].data.state, __ATOMIC_ACQUIRE) != CARETAKER_CPU_OUT)
			owned[n++] = g.cpus[i].data.apic_id;
	switch (g.p.mutant & CARETAKER_MUTANT_INITS ? ICR_SEND : icr_verdict(icr, owned, n)) {
	case ICR_SEND:
		wrmsr(MSR_ICR, icr);
		return true;
	case ICR_REFUSE:
		count(c, CARETAKER_C_ICR_REFUSED);
		say(c, "refused an IPI");
		say_value("icr", icr);
		say_end();
		return true;
	default:
		return false;
	}
}

static bool write_efer(struct cpu_memory *m, u64 value)
{
	if (!efer_ok(value, m->host.efer, m->host.cr0 & CR0_PG))
		return false;
	m->data.svme = value & EFER_SVME;
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
	m->data.hsave = value;
	return true;
}

static bool write_msr(struct cpu_memory *m, u32 no, u64 value)
{
	switch (no) {
	case MSR_EFER:
		return write_efer(m, value);
	case MSR_VM_HSAVE_PA:
		return write_hsave(m, value);
	case MSR_ICR:
		return write_icr(&m->data, value);
	case MSR_APIC_BASE:		/* out of x2APIC mode, INITs could not be seen */
		if (value != rdmsr(MSR_APIC_BASE))
			return false;
		return true;
	default:			/* VM_CR and SMM_CTL; and what no bit of the map stands for */
		return false;
	}
}

static bool read_msr(struct cpu_memory *m, u32 no, u64 *value)
{
	switch (no) {
	case MSR_EFER:
		*value = (m->host.efer & ~EFER_SVME) | m->data.svme;
		return true;
	case MSR_VM_HSAVE_PA:
		*value = m->data.hsave;
		return true;
	default:
		return false;
	}
}

void msr_exit(struct cpu_memory *m, struct regs *r)
{
	u64 value = (u32)m->host.rax | r->rdx << 32;
	u32 no = r->rcx;
	bool done;

	count(&m->data, CARETAKER_C_MSR);
	if (m->host.exit_info_1) {
		done = write_msr(m, no, value);
	} else {
		done = read_msr(m, no, &value);
		if (done) {
			m->host.rax = (u32)value;
			r->rdx = value >> 32;
		}
	}
	if (done) {
		skip(&m->host, 2);
		return;
	}
	count(&m->data, CARETAKER_C_MSR_REFUSED);
	inject(&m->host, EVENT_GP);
}
