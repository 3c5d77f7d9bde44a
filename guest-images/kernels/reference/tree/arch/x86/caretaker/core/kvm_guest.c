// SPDX-License-Identifier: GPL-2.0-only
/*
 * CARETAKER_HC_RUN: one entry of a guest of KVM's. Its registers flow through
 * untouched; its VMCB is copied in, checked, run, and copied out. Meanwhile it
 * has a nested table and an MSR permission map of ours instead of the host's.
 */
#include "core.h"

#define CONTROL_BYTES	0x140
#define SAVE_AT		0x400
#define SAVE_BYTES	0x300

static void copy_vmcb(void *to, const void *from)
{
	memcpy(to, from, CONTROL_BYTES);
	memcpy((u8 *)to + SAVE_AT, (const u8 *)from + SAVE_AT, SAVE_BYTES);
}

static void flush(struct vmcb *v)
{
	v->tlb_ctl = (v->tlb_ctl & ~0xffu) | TLB_FLUSH_ALL;
}

/* The table that stands for this one, emptied if the host has the TLB flushed. */
static struct shadow *take_shadow(struct cpu *c, struct vmcb *v)
{
	struct shadow *s, *oldest = &c->shadow[0];
	u32 ctl = v->tlb_ctl & 0xff;

	for (s = c->shadow; s < c->shadow + SHADOWS; s++) {
		if (ctl == TLB_FLUSH_ALL || (ctl && s->asid == v->asid))
			shadow_drop(s);
		if (s->since < oldest->since)
			oldest = s;
	}
	for (s = c->shadow; s < c->shadow + SHADOWS; s++)
		if (s->asid == v->asid && s->cr3 == v->nested_cr3)
			goto found;
	s = oldest;
	shadow_drop(s);
	s->asid = v->asid;
	s->cr3 = v->nested_cr3;
	flush(v);
found:
	s->since = ++c->clock;
	return s;
}

/* A nested fault of the guest: may it go on at once? */
static bool filled(struct cpu *c, struct shadow *s, struct vmcb *v)
{
	enum fill how = shadow_fill(s, &g.limits, 0, v->exit_info_2, &v->exit_info_1);

	if (how == FILL_FULL) {
		u32 asid = s->asid;

		shadow_drop(s);
		s->asid = asid;
		flush(v);
		how = shadow_fill(s, &g.limits, 0, v->exit_info_2, &v->exit_info_1);
	}
	if (how == FILL_BAD) {
		count(c, CARETAKER_C_PRIVATE);
		say(c, "a guest's table names private memory");
		say_value("gpa", v->exit_info_2);
		say_end();
		v->exit_code = EXIT_INVALID;
	}
	if (how != FILL_DONE) {
		s->missed = v->exit_info_2;
		s->error = v->exit_info_1;
		return false;
	}
	count(c, CARETAKER_C_FILL);
	/* An event was under way: KVM knows how to deliver it again. */
	if (v->exit_int_info & EVENT_VALID)
		return false;
	v->event_inj = 0;
	return true;
}

static void run_vmcb(struct cpu_memory *m, struct vmcb *v, struct regs *r)
{
	struct shadow *s = take_shadow(&m->data, v);
	u64 cr3 = v->nested_cr3, msrpm = v->msrpm_pa;
	u64 since;

	msrpm_merge(m->msrpm, (const u8 *)msrpm);
	v->msrpm_pa = m->data.pa + CPU_MSRPM;
	v->nested_cr3 = s->pt.pa;
	if (s->error)		/* served by now: spare the guest the same again */
		shadow_fill(s, &g.limits, 0, s->missed, &s->error);
	s->error = 0;
	v->clean = 0;		/* the copy is not the page that was cached */
	do {
		since = rdtsc();
		run_guest(m->data.pa + CPU_GUEST, r, m->data.pa + CPU_ROOT);
		m->data.away += rdtsc() - since;
		v->tlb_ctl &= ~0xffu;
	} while (v->exit_code == EXIT_NPF && filled(&m->data, s, v));
	v->nested_cr3 = cr3;
	v->msrpm_pa = msrpm;
}

void run(struct cpu_memory *m, struct regs *r)
{
	u64 pa = m->host.rax & ~(PAGE - 1);
	struct vmcb *v = &m->guest;

	m->host.rax = CARETAKER_EINVAL;
	if (!page_ok(&g.limits, pa, PAGE)) {
		count(&m->data, CARETAKER_C_HC_REFUSED);
		if (overlap(pa, PAGE, g.p.pa, g.p.size))
			count(&m->data, CARETAKER_C_PRIVATE);
		return;
	}
	copy_vmcb(v, (void *)pa);
	if (!vmcb_ok(&g.limits, v)) {
		count(&m->data, CARETAKER_C_VMCB_REFUSED);
		return;
	}
	run_vmcb(m, v, r);
	if ((u32)v->exit_code == (u32)EXIT_INVALID)
		((struct vmcb *)pa)->exit_code = EXIT_INVALID;	/* the rest may be of us */
	else
		copy_vmcb((void *)pa, v);

	m->host.rax = 0;
	count(&m->data, CARETAKER_C_RUN);
	if (v->exit_code == EXIT_NMI)
		count(&m->data, CARETAKER_C_NMI);
	if (v->exit_code == EXIT_INTR)
		count(&m->data, CARETAKER_C_INTR);
}
