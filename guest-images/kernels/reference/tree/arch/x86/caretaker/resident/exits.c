// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a resident vCPU may do without anybody: be interrupted, idle, look at
 * CPUID, use its local APIC with the deadline timer, and interrupt its siblings. All else parks it,
 * before the instruction, so that KVM can do it once the vCPU is fetched.
 */
#include "exits.h"

#define RFLAGS_IF	BIT(9)
#define SHADOW		1ULL
#define TICKS_AT_MOST	0x7fffffffULL
#define DIVIDE_BY_1	0xb
#define CPUID_OSXSAVE	BIT(27)
#define CPUID_OSPKE	BIT(4)
#define CR4_OSXSAVE	BIT(18)
#define CR4_PKE		BIT(22)
#define MSR_X2APIC	0x800
#define MSR_X2APIC_END	0x83f

static u64 its_tsc(const struct resident *r)
{
	return rdtsc() + r->own->tsc_offset;
}

/* Has its timer run out? */
void timer_look(struct resident *r)
{
	u64 at = r->own->tsc_deadline;

	if (!at || its_tsc(r) < at || !apic_by_deadline(r->own->apic))
		return;
	r->own->tsc_deadline = 0;
	apic_timer(r->own->apic);
}

/* The CPU's own counter, for the time until then; a little early is looked at again. */
void timer_arm(struct resident *r)
{
	u64 at = r->own->tsc_deadline, now = its_tsc(r), left;

	if (!at || r->armed || !apic_by_deadline(r->own->apic))
		return;
	left = at > now ? at - now : 0;
	if (left > TICKS_AT_MOST)
		left = TICKS_AT_MOST;
	left = left * r->own->timer_khz / r->own->tsc_khz + 1;
	wrmsr(0x83e, DIVIDE_BY_1);
	wrmsr(0x832, TIMER_VECTOR);
	wrmsr(0x838, left > TICKS_AT_MOST ? TICKS_AT_MOST : left);
	r->armed = true;
}

static bool open(const struct vmcb *v)
{
	return (v->rflags & RFLAGS_IF) && !(v->int_state & SHADOW);
}

bool may_wake(const struct cpu_memory *m)
{
	return (m->guest.rflags & RFLAGS_IF) && apic_pending(m->vcpu.own->apic);
}

/* What is pending goes in now; or the vCPU is to come out as soon as it can. */
void offer(struct cpu_memory *m)
{
	u32 vector = apic_pending(m->vcpu.own->apic);
	struct vmcb *v = &m->guest;

	v->int_ctl &= ~(INT_V_IRQ | INT_V_IGN_TPR | INT_V_PRIO);
	v->intercept[3] &= ~I3_VINTR;
	if (!vector)
		return;
	if (open(v) && !(v->event_inj & EVENT_VALID)) {
		apic_accept(m->vcpu.own->apic, vector);
		v->event_inj = EVENT_INTR(vector);
		return;
	}
	v->int_ctl |= INT_V_IRQ | INT_V_IGN_TPR | INT_V_PRIO;
	v->intercept[3] |= I3_VINTR;
}

static void do_cpuid(struct cpu_memory *m)
{
	struct resident *r = &m->vcpu;
	const struct caretaker_cpuid *e = r->own->cpuid, *end = e + r->own->cpuids;
	u32 leaf = m->guest.rax, subleaf = r->gpr[0];
	u64 *rcx = &r->gpr[0], *rdx = &r->gpr[1], *rbx = &r->gpr[2];

	m->guest.rax = *rbx = *rcx = *rdx = 0;
	for (; e < end; e++) {
		if (e->leaf != leaf || (e->by_subleaf && e->subleaf != subleaf))
			continue;
		m->guest.rax = e->eax;
		*rbx = e->ebx;
		*rcx = e->ecx;
		*rdx = e->edx;
		break;
	}
	if (leaf == 1)
		*rcx = (*rcx & ~CPUID_OSXSAVE) | (m->guest.cr4 & CR4_OSXSAVE ? CPUID_OSXSAVE : 0);
	if (leaf == 7 && !subleaf)
		*rcx = (*rcx & ~CPUID_OSPKE) | (m->guest.cr4 & CR4_PKE ? CPUID_OSPKE : 0);
	skip(&m->guest, 2);
}

static enum apic_done read_its(struct cpu_memory *m, u32 no, u64 *value)
{
	const struct caretaker_vcpu *own = m->vcpu.own;
	u32 i;

	if (no >= MSR_X2APIC && no <= MSR_X2APIC_END)
		return apic_read(own->apic, no, value);
	if (no == MSR_TSC_DEADLINE) {
		*value = own->tsc_deadline;
		return APIC_DONE;
	}
	for (i = 0; i < own->msrs; i++) {
		if (own->msr[i].index == no) {
			*value = own->msr[i].value;
			return APIC_DONE;
		}
	}
	return APIC_PARK;
}

/*
 * An interrupt for siblings. Who is parked gets it too, and has it when it is
 * fetched. If one is not here, KVM sees to it: nothing has been sent then.
 */
static enum apic_done send(struct cpu_memory *m, u64 icr)
{
	struct cpu_memory *to;
	u32 i, n = icr & 0xff;

	if (!ipi_ok(icr))
		return APIC_PARK;
	lock(&posts);
	if (!all_here(m)) {
		unlock(&posts);
		return APIC_PARK;
	}
	for (i = 0; i < g.p.cpus; i++) {
		to = sibling(m, i);
		if (!to || !ipi_is_for(to->vcpu.own->apic, icr, to == m))
			continue;
		__atomic_fetch_or(&to->vcpu.posted[n / 32], 1u << (n % 32), __ATOMIC_ACQ_REL);
		if (to != m)
			kick(to);
	}
	unlock(&posts);
	return apic_write(m->vcpu.own->apic, MSR_ICR, icr);
}

static enum apic_done write_its(struct cpu_memory *m, u32 no, u64 value)
{
	struct resident *r = &m->vcpu;
	u64 now;

	if (no == MSR_ICR)
		return send(m, value);
	if (no >= MSR_X2APIC && no <= MSR_X2APIC_END)
		return apic_write(r->own->apic, no, value);
	if (no == MSR_TSC_DEADLINE && apic_by_deadline(r->own->apic)) {
		r->own->tsc_deadline = value;
		r->armed = false;
		return APIC_DONE;
	}
	return read_its(m, no, &now) == APIC_DONE && now == value ? APIC_DONE : APIC_PARK;
}

static bool do_msr(struct cpu_memory *m)
{
	struct resident *r = &m->vcpu;
	u64 value = (u32)m->guest.rax | r->gpr[1] << 32;
	enum apic_done done;
	u32 no = r->gpr[0];

	if (m->guest.exit_info_1) {
		done = write_its(m, no, value);
	} else {
		done = read_its(m, no, &value);
		if (done == APIC_DONE) {
			m->guest.rax = (u32)value;
			r->gpr[1] = value >> 32;
		}
	}
	if (done == APIC_DONE)
		skip(&m->guest, 2);
	return done == APIC_DONE;	/* KVM knows best what fault that is */
}

/* False: it is to be parked, with RIP at what it did. */
bool serve(struct cpu_memory *m)
{
	switch (m->guest.exit_code) {
	case EXIT_INTR:
	case EXIT_NMI:
		window();
		m->vcpu.armed = false;
		return true;
	case EXIT_VINTR:
		return true;
	case EXIT_CPUID:
		do_cpuid(m);
		return true;
	case EXIT_MSR:
		return do_msr(m);
	case EXIT_HLT:
		skip(&m->guest, 1);
		m->vcpu.halted = true;
		return true;
	default:
		return false;
	}
}
