// SPDX-License-Identifier: GPL-2.0-only
/*
 * CARETAKER_HC_RUN: one entry of a guest of KVM's. Its registers flow through
 * untouched; its VMCB is copied in, checked, run, and copied out. Meanwhile it
 * has a nested table and an MSR permission map of the caretaker's.
 */
#include "core.h"


static void copy_vmcb(void *to, const void *from)
{
	memcpy(to, from, VMCB_CONTROL_BYTES);
	memcpy((u8 *)to + VMCB_SAVE_AT, (const u8 *)from + VMCB_SAVE_AT, VMCB_SAVE_BYTES);
}

static void flush(struct vmcb *v)
{
	v->tlb_ctl = (v->tlb_ctl & ~0xffu) | TLB_FLUSH_ALL;
}

/* The table that stands for the guest's, emptied if the host has the TLB flushed. */
static struct shadow *take_shadow(struct cpu *c, struct vmcb *v, u32 levels)
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
		if (s->asid == v->asid && s->cr3 == v->nested_cr3 && s->levels == levels)
			goto found;
	s = oldest;
	shadow_drop(s);
	s->asid = v->asid;
	s->cr3 = v->nested_cr3;
	s->levels = levels;
	flush(v);
found:
	s->since = ++c->clock;
	return s;
}

/* A nested fault of the guest: can it resume at once? */
static bool filled(struct cpu *c, struct shadow *s, struct vmcb *v)
{
	enum fill how = shadow_fill(s, &g.limits, v->exit_info_2, &v->exit_info_1);

	if (how == FILL_FULL) {
		u32 asid = s->asid;

		shadow_drop(s);
		s->asid = asid;
		flush(v);
		how = shadow_fill(s, &g.limits, v->exit_info_2, &v->exit_info_1);
	}
	if (how == FILL_BAD) {
		count(c, CARETAKER_C_PRIVATE);
		say(c, "a guest's table names private memory");
		say_value(c, "gpa", v->exit_info_2);
		say_end(c);
		v->exit_code = EXIT_INVALID;
	}
	if (how != FILL_DONE) {
		s->missed = v->exit_info_2;
		s->error = v->exit_info_1;
		return false;
	}
	count(c, CARETAKER_C_FILL);
	/* An event was being delivered: KVM knows how to deliver it again. */
	if (v->exit_int_info & EVENT_VALID)
		return false;
	v->event_inj = 0;
	return true;
}

static void run_vmcb(struct cpu_memory *m, struct vmcb *v, host_pa_t host_msrpm, struct regs *regs)
{
	/* KVM's nested tables have as many levels as the table that its kernel runs on. */
	struct shadow *s = take_shadow(&m->data, v, paging_levels(m->host.cr4));
	u64 cr3 = v->nested_cr3, msrpm = v->msrpm_pa;
	u64 since;

	msrpm_merge(m->msrpm, host_ptr(&g.limits, host_msrpm));
	v->msrpm_pa = m->data.pa + CPU_MSRPM;
	v->nested_cr3 = s->pt.pa;
	if (s->error)		/* the host has served it: spare the guest a second fault */
		shadow_fill(s, &g.limits, s->missed, &s->error);
	s->error = 0;
	v->clean = 0;		/* the copy is not the page that was cached */
	do {
		since = rdtsc();
		run_guest(m->data.pa + CPU_GUEST, regs, m->data.pa + CPU_CT_STATE);
		m->data.away += rdtsc() - since;
		v->tlb_ctl &= ~0xffu;
	} while (v->exit_code == EXIT_NPF && filled(&m->data, s, v));
	v->nested_cr3 = cr3;
	v->msrpm_pa = msrpm;
}

static long hc_run(struct cpu_memory *m, struct regs *regs, u64 page)
{
	host_pa_t host_vmcb, host_msrpm;
	struct vmcb *v = &m->guest;

	if (!host_pages(&g.limits, page, PAGE, &host_vmcb)) {
		if (overlap(page, PAGE, g.p.pa, g.p.size))
			count(&m->data, CARETAKER_C_PRIVATE);
		return refuse(&m->data, CARETAKER_C_HC_REFUSED, CARETAKER_EINVAL);
	}
	copy_vmcb(v, host_ptr(&g.limits, host_vmcb));
	if (!vmcb_ok(&g.limits, v) ||
	    !host_pages(&g.limits, v->msrpm_pa, MSRPM_BYTES, &host_msrpm))
		return refuse(&m->data, CARETAKER_C_VMCB_REFUSED, CARETAKER_EINVAL);
	run_vmcb(m, v, host_msrpm, regs);
	if ((u32)v->exit_code == (u32)EXIT_INVALID)	/* the copy may have state of the caretaker's */
		((struct vmcb *)host_ptr(&g.limits, host_vmcb))->exit_code = EXIT_INVALID;
	else
		copy_vmcb(host_ptr(&g.limits, host_vmcb), v);

	count(&m->data, CARETAKER_C_RUN);
	if (v->exit_code == EXIT_NMI)
		count(&m->data, CARETAKER_C_NMI);
	if (v->exit_code == EXIT_INTR)
		count(&m->data, CARETAKER_C_INTR);
	return 0;
}

static void __attribute__((used)) kvm_guest_init(void)
{
	hypercall_register(CARETAKER_HC_RUN, hc_run, true);
}
CT_INIT(kvm_guest_init);
