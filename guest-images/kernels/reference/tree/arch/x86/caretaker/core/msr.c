// SPDX-License-Identifier: GPL-2.0-only
/* The host's accesses to MSRs that are looked at: msr_policy.c has the rules. */
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
	if (!efer_ok(g.limits.efer_known, value, m->host.efer, m->host.cr0 & CR0_PG))
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

static bool write_own(struct cpu_memory *m, u32 no, u64 value)
{
	switch (no) {
	case MSR_EFER:
		return write_efer(m, value);
	case MSR_VM_HSAVE_PA:
		return write_hsave(m, value);
	default:
		return write_icr(&m->data, value);
	}
}

static bool read_own(struct cpu_memory *m, u32 no, u64 *value)
{
	if (no == MSR_EFER)
		*value = (m->host.efer & ~EFER_SVME) | m->data.host_svme;
	else
		*value = m->data.host_hsave_pa;
	return true;
}

static bool is_same(u32 no, u64 value)
{
	u64 now;

	return try_rdmsr(no, &now) && now == value;
}

static bool write_msr(struct cpu_memory *m, u32 no, u64 value)
{
	switch (msr_policy(no, true)) {
	case MSR_OWN:
		return write_own(m, no, value);
	case MSR_PAGE:
		if (!msr_page_ok(&g.limits, value))
			return false;
		return try_wrmsr(no, value);
	case MSR_PASS:
		return try_wrmsr(no, value);
	case MSR_SAME:
		return is_same(no, value);
	case MSR_DROP:
		if (!is_same(no, value))
			count(&m->data, CARETAKER_C_MSR_REFUSED);
		return true;
	default:
		return false;
	}
}

static bool read_msr(struct cpu_memory *m, u32 no, u64 *value)
{
	switch (msr_policy(no, false)) {
	case MSR_OWN:
		return read_own(m, no, value);
	case MSR_PASS:
		return try_rdmsr(no, value);
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
