// SPDX-License-Identifier: GPL-2.0-only
/* What all of this adds to how the host is kept: what is seen of it, and who may leave. */
#include "exits.h"

extern u8 irq_stub[], nmi_stub[];

static void gate(u64 to[2], const void *stub, u64 ist)
{
	u64 at = (u64)stub;

	to[0] = (at & 0xffff) | ((u64)SEL_CODE << 16) | ist << 32 | 0x8e0000000000ULL |
		(at & 0xffff0000) << 32;
	to[1] = at >> 32;
}

/* Interrupts and NMIs: only a CPU that is held ever lets them in. */
void make_gates(u64 idt[256][2])
{
	u32 i;

	gate(idt[2], nmi_stub, 1);
	for (i = 32; i < 256; i++)
		gate(idt[i], irq_stub, 0);
}

/* What a resident vCPU does, for those who can only look. */
void show_vcpu(struct cpu_memory *m)
{
	struct caretaker_cpu_status *w = &g.window->cpu[m->data.index];

	w->entries = m->vcpu.entries;
	w->exit_code = m->guest.exit_code;
	w->exit_info_1 = m->guest.exit_info_1;
	w->exit_info_2 = m->guest.exit_info_2;
	w->rip = m->guest.rip;
}

/*
 * Does the host's own page table have us where we run? It may be another kernel
 * than the one that loaded us, and we go up to it in its table.
 */
bool host_maps_us(const struct vmcb *host)
{
	u64 table = host->cr3 & PT_ADDR, e, size;
	u32 level = host->cr4 & CR4_LA57 ? 5 : 4;

	for (;; level--) {
		if (!page_ok(&g.limits, table, PAGE))
			return false;
		e = ((const u64 *)table)[(g.p.va >> (12 + 9 * (level - 1))) & 511];
		if (!(e & PT_P) || (e & PT_NX))
			return false;
		if (level == 1 || (level <= 3 && (e & PT_LEAF)))
			break;
		table = e & PT_ADDR;
	}
	size = BIT(12 + 9 * (level - 1));
	return (e & PT_ADDR & ~(size - 1)) + (g.p.va & (size - 1)) == g.p.pa;
}

/* Those that are about a vCPU, and REGION. False: it is none of them. */
bool vcpu_hypercall(struct cpu_memory *m, struct regs *r, u64 number)
{
	u64 page = m->host.rax & ~(PAGE - 1);
	bool takes_page = number == CARETAKER_HC_HOLD || number == CARETAKER_HC_FETCH;

	if (number == CARETAKER_HC_RUN) {
		run(m, r);
		return true;
	}
	if (number < CARETAKER_HC_REGION || number > CARETAKER_HC_FETCH || (page && !takes_page))
		return false;
	switch (number) {
	case CARETAKER_HC_REGION:
		m->host.rax = 0;
		r->rbx = g.p.pa;
		r->rcx = g.p.size;
		r->rdx = g.p.window;
		break;
	case CARETAKER_HC_HOLD:
		hold(m);
		break;
	case CARETAKER_HC_STOP:
		m->host.rax = resident_stop(r->rbx);
		break;
	default:
		m->host.rax = resident_fetch(r->rbx, page);
	}
	if ((long)m->host.rax < 0)
		count(&m->data, CARETAKER_C_HC_REFUSED);
	return true;
}
