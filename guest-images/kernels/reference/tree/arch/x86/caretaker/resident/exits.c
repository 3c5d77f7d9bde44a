// SPDX-License-Identifier: GPL-2.0-only
/*
 * The exits of a resident vCPU that are served below: interrupts, HLT, CPUID, the local
 * APIC with the deadline timer, and IPIs to siblings. Any other exit parks the vCPU
 * before the instruction, so that KVM can serve it once the vCPU is fetched.
 */
#include "cpu.h"

#define RFLAGS_IF	BIT(9)
#define INT_SHADOW	1ULL
#define TICKS_AT_MOST	0x7fffffffULL
#define DIVIDE_BY_1	0xb
#define CPUID_OSXSAVE	BIT(27)
#define CPUID_OSPKE	BIT(4)
#define CR4_OSXSAVE	BIT(18)
#define CR4_PKE		BIT(22)

static u64 guest_tsc(const struct resident *res)
{
	return rdtsc() + res->own->tsc_offset;
}

/**
 * timer_check() - raise the timer's interrupt if its deadline has passed
 * @res: the vCPU of this CPU
 */
void timer_check(struct resident *res)
{
	u64 at = res->own->tsc_deadline;

	if (!at || guest_tsc(res) < at || !apic_by_deadline(res->own->apic))
		return;
	res->own->tsc_deadline = 0;
	apic_timer(res->own->apic);
}

/**
 * timer_arm() - set the CPU's own timer for the deadline
 * @res: the vCPU of this CPU
 *
 * It may be early, by rounding or because the counter is too narrow:
 * timer_check() looks again.
 */
void timer_arm(struct resident *res)
{
	u64 at = res->own->tsc_deadline, now = guest_tsc(res), left;

	if (!at || res->armed || !apic_by_deadline(res->own->apic))
		return;
	left = at > now ? at - now : 0;
	if (left > TICKS_AT_MOST)
		left = TICKS_AT_MOST;
	left = left * res->own->timer_khz / res->own->tsc_khz + 1;
	wrmsr(MSR_X2APIC_TDCR, DIVIDE_BY_1);
	wrmsr(MSR_X2APIC_LVTT, TIMER_VECTOR);
	wrmsr(MSR_X2APIC_TMICT, left > TICKS_AT_MOST ? TICKS_AT_MOST : left);
	res->armed = true;
}

static bool takes_interrupts(const struct vmcb *v)
{
	return (v->rflags & RFLAGS_IF) && !(v->int_state & INT_SHADOW);
}

/**
 * can_wake() - does an interrupt end the vCPU's HLT?
 * @m: memory of this CPU
 *
 * Return: true if one is pending that the vCPU takes.
 */
bool can_wake(const struct cpu_memory *m)
{
	return (m->guest.rflags & RFLAGS_IF) && apic_pending(resident_of(m)->own->apic);
}

/**
 * offer_interrupt() - deliver a pending interrupt at the next entry
 * @m: memory of this CPU
 *
 * If the vCPU takes none now, its run ends as soon as it does.
 */
void offer_interrupt(struct cpu_memory *m)
{
	u8 *apic = resident_of(m)->own->apic;
	u32 vector = apic_pending(apic);
	struct vmcb *v = &m->guest;

	v->int_ctl &= ~(INT_V_IRQ | INT_V_IGN_TPR | INT_V_PRIO | INT_V_TPR);
	v->int_ctl |= apic_tpr(apic) >> 4;	/* what the vCPU reads from CR8 */
	v->intercept[3] &= ~I3_VINTR;
	if (!vector)
		return;
	if (takes_interrupts(v) && !(v->event_inj & EVENT_VALID)) {
		apic_accept(apic, vector);
		v->event_inj = EVENT_INTR(vector);
		return;
	}
	v->int_ctl |= INT_V_IRQ | INT_V_IGN_TPR | INT_V_PRIO;
	v->intercept[3] |= I3_VINTR;
}

static void do_cpuid(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	const struct caretaker_cpuid *e = res->own->cpuid, *end = e + res->own->cpuids;
	u32 leaf = m->guest.rax, subleaf = res->gpr[0];
	u64 *rcx = &res->gpr[0], *rdx = &res->gpr[1], *rbx = &res->gpr[2];

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

static enum apic_done read_msr(struct resident *res, u32 no, u64 *value)
{
	const struct caretaker_vcpu *own = res->own;
	u32 i;

	if (no >= MSR_X2APIC && no <= MSR_X2APIC_LAST)
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

static void post_ipi(struct cpu_memory *m, struct cpu_memory *to, u32 vector)
{
	assert_held(&m->data, &posts_lock);
	__atomic_fetch_or(&resident_of(to)->posted[vector / 32], 1u << (vector % 32),
			  __ATOMIC_ACQ_REL);
	if (to != m)
		kick(to);
}

/*
 * Send an IPI to siblings. One that is parked gets it, too, and has it when it is fetched. If
 * one is not on any CPU, nothing is sent: KVM has to.
 */
static enum apic_done send_ipi(struct cpu_memory *m, u64 icr)
{
	struct cpu_memory *to;
	u32 i;

	if (!ipi_ok(icr))
		return APIC_PARK;
	spin_lock(&posts_lock, m->data.index);
	if (!all_here(m)) {
		spin_unlock(&posts_lock);
		return APIC_PARK;
	}
	for (i = 0; i < g.p.cpus; i++) {
		to = sibling(m, i);
		if (to && ipi_is_for(resident_of(to)->own->apic, icr, to == m))
			post_ipi(m, to, icr & 0xff);
	}
	spin_unlock(&posts_lock);
	return apic_write(resident_of(m)->own->apic, MSR_X2APIC_ICR, icr);
}

/* A deadline does not survive that the timer leaves deadline mode. */
static enum apic_done write_apic(struct resident *res, u32 no, u64 value)
{
	enum apic_done done = apic_write(res->own->apic, no, value);

	if (no == MSR_X2APIC_LVTT && !apic_by_deadline(res->own->apic))
		res->own->tsc_deadline = 0;
	return done;
}

static enum apic_done write_msr(struct cpu_memory *m, u32 no, u64 value)
{
	struct resident *res = resident_of(m);
	u64 now;

	if (no == MSR_X2APIC_ICR)
		return send_ipi(m, value);
	if (no >= MSR_X2APIC && no <= MSR_X2APIC_LAST)
		return write_apic(res, no, value);
	if (no == MSR_TSC_DEADLINE && apic_by_deadline(res->own->apic)) {
		res->own->tsc_deadline = value;
		res->armed = false;
		return APIC_DONE;
	}
	return read_msr(res, no, &now) == APIC_DONE && now == value ? APIC_DONE : APIC_PARK;
}

static enum served do_msr(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	u64 value = (u32)m->guest.rax | res->gpr[1] << 32;
	enum apic_done done;
	u32 no = res->gpr[0];

	if (m->guest.exit_info_1) {
		done = write_msr(m, no, value);
	} else {
		done = read_msr(res, no, &value);
		if (done == APIC_DONE) {
			m->guest.rax = (u32)value;
			res->gpr[1] = value >> 32;
		}
	}
	if (done != APIC_DONE)
		return PARK_VCPU;	/* KVM knows which fault it is */
	skip(&m->guest, 2);
	return RESUME_GUEST;
}

/*
 * Deliver an exception that was intercepted only so that a guest whose delivery of it
 * raises it again can be stopped. If another event was being delivered, run_vcpu()
 * has set that one: it raises the exception again.
 */
static void redeliver(struct vmcb *v, u64 event)
{
	if (!(v->event_inj & EVENT_VALID))
		v->event_inj = event;
}

/**
 * serve() - serve an exit of the vCPU
 * @m: memory of this CPU
 *
 * Return: RESUME_GUEST; or PARK_VCPU, with RIP at the instruction.
 */
enum served serve(struct cpu_memory *m)
{
	switch (m->guest.exit_code) {
	case EXIT_INTR:
	case EXIT_NMI:
		take_interrupts();
		resident_of(m)->armed = false;
		return RESUME_GUEST;
	case EXIT_VINTR:
		return RESUME_GUEST;
	case EXIT_DB:
		redeliver(&m->guest, EVENT_DB);
		return RESUME_GUEST;
	case EXIT_AC:
		redeliver(&m->guest, EVENT_AC);	/* its error code is 0 */
		return RESUME_GUEST;
	case EXIT_CPUID:
		do_cpuid(m);
		return RESUME_GUEST;
	case EXIT_MSR:
		return do_msr(m);
	case EXIT_HLT:
		skip(&m->guest, 1);
		resident_of(m)->halted = true;
		return RESUME_GUEST;
	default:
		return PARK_VCPU;
	}
}
