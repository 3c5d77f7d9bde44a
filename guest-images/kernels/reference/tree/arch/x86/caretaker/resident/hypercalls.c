// SPDX-License-Identifier: GPL-2.0-only
/* The hypercalls about resident vCPUs, and the gates for their CPUs' interrupts. */
#include "cpu.h"

extern u8 irq_stub[], nmi_stub[];

static long hc_hold(struct cpu_memory *m, struct regs *regs, u64 page)
{
	const char *why = "refused a vCPU: no such page";
	host_pa_t from;

	if (host_pages(&g.limits, page, CARETAKER_VCPU_BYTES, &from))
		why = resident_hold(m, from);
	say(&m->data, why);
	say_end(&m->data);
	return refuse(&m->data, CARETAKER_C_HC_REFUSED, CARETAKER_EINVAL);
}

static long answer(struct cpu_memory *m, long r)
{
	return r < 0 ? refuse(&m->data, CARETAKER_C_HC_REFUSED, r) : r;
}

static long hc_stop(struct cpu_memory *m, struct regs *regs, u64 page)
{
	return answer(m, resident_stop(&m->data, regs->rbx));
}

static long hc_fetch(struct cpu_memory *m, struct regs *regs, u64 page)
{
	host_pa_t to;

	if (!host_pages(&g.limits, page, CARETAKER_VCPU_BYTES, &to))
		return answer(m, CARETAKER_EINVAL);
	return answer(m, resident_fetch(&m->data, regs->rbx, to));
}

static void __attribute__((used)) resident_init(void)
{
	u32 i;

	hypercall_register(CARETAKER_HC_HOLD, hc_hold, true);
	hypercall_register(CARETAKER_HC_STOP, hc_stop, false);
	hypercall_register(CARETAKER_HC_FETCH, hc_fetch, true);
	/* Only a CPU that has a resident vCPU ever lets interrupts in. */
	set_gate(2, nmi_stub, 1);
	for (i = 32; i < 256; i++)
		set_gate(i, irq_stub, 0);
}
CT_INIT(resident_init);
