// SPDX-License-Identifier: GPL-2.0-only
/* CARETAKER_HC_RELEASE: the host resumes outside of guest mode. */
#include "core.h"

/*
 * Does the host's page table map the image where it runs? The host may be another
 * kernel than loaded it, and the last instructions run on the host's table.
 */
static bool host_maps_image(const struct vmcb *host)
{
	u64 table = host->cr3 & PT_ADDR, e, size;
	u32 level = paging_levels(host->cr4);
	host_pa_t page;

	for (;; level--) {
		if (!host_pages(&g.limits, table, PAGE, &page))
			return false;
		e = ((const u64 *)host_ptr(&g.limits, page))
			[(g.p.va >> (12 + 9 * (level - 1))) & 511];
		if (!(e & PT_P) || (e & PT_NX))
			return false;
		if (level == 1 || (level <= 3 && (e & PT_LEAF)))
			break;
		table = e & PT_ADDR;
	}
	size = BIT(12 + 9 * (level - 1));
	return (e & PT_ADDR & ~(size - 1)) + (g.p.va & (size - 1)) == g.p.pa;
}

/* CPUs leave one after the other: two could each take the other for the last. */
static struct spinlock leave_lock;

/* Would nobody be left to stop a resident vCPU, or to fetch it? */
static bool last_and_needed(const struct cpu *self)
{
	bool residents = false;
	u32 i, state;

	for (i = 0; i < g.p.cpus; i++) {
		state = __atomic_load_n(&g.cpus[i].data.state, __ATOMIC_ACQUIRE);
		if (state == CARETAKER_CPU_IN && i != self->index)
			return false;
		residents |= state == CARETAKER_CPU_HELD || state == CARETAKER_CPU_PARKED ||
			     state == CARETAKER_CPU_LEAVING;
	}
	return residents;
}

static bool leave(struct cpu *c, u64 how)
{
	bool may;

	spin_lock(&leave_lock, c->index);
	may = how == CARETAKER_ABANDON || !last_and_needed(c);
	if (may)
		set_state(c, CARETAKER_CPU_OUT);
	spin_unlock(&leave_lock);
	return may;
}

/* The caller must be 64-bit kernel code: it is returned to by a jump. */
static long hc_release(struct cpu_memory *m, struct regs *regs, u64 page)
{
	struct vmcb *v = &m->host;
	struct cpu *c = &m->data;

	if ((v->cr4 ^ c->ct_cr4) & CR4_LA57)	/* it cannot be changed on the way */
		return refuse(c, CARETAKER_C_HC_REFUSED, CARETAKER_EPERM);
	if (v->cs.selector != SEL_CODE || !(v->efer & EFER_LMA) || !host_maps_image(v))
		return refuse(c, CARETAKER_C_HC_REFUSED, CARETAKER_EPERM);
	if (!leave(c, regs->rbx))
		return refuse(c, CARETAKER_C_HC_REFUSED, CARETAKER_EBUSY);
	c->host_gdtr = (struct table){ .limit = v->gdtr.limit, .base = v->gdtr.base };
	c->host_idtr = (struct table){ .limit = v->idtr.limit, .base = v->idtr.base };
	c->host_efer = (v->efer & ~EFER_SVME) | c->host_svme;
	c->released = true;
	return 0;
}

static void __attribute__((used)) release_init(void)
{
	hypercall_register(CARETAKER_HC_RELEASE, hc_release, false);
}
CT_INIT(release_init);
