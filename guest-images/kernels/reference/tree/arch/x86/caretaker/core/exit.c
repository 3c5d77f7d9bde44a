// SPDX-License-Identifier: GPL-2.0-only
/* Why the host came down, and what is done about it. What is not here stops the CPU. */
#include "core.h"

#define RFLAGS_TF	BIT(8)

/* On to the next instruction. All that we skip have a fixed length. */
void skip(struct vmcb *host, u32 bytes)
{
	host->rip = g.nrips && host->next_rip ? host->next_rip : host->rip + bytes;
	host->int_state &= ~1ULL;
}

/* If this happened while another event was delivered, the two make a double fault. */
void inject(struct vmcb *host, u64 event)
{
	host->event_inj = host->exit_int_info & EVENT_VALID ? EVENT_DF : event;
}

/* FNV-1a, 64 bits: not a signature, tells that the text is what it was. */
static u64 text_digest(void)
{
	u64 sum = 0xcbf29ce484222325ULL;
	const u8 *at;

	for (at = image; at < text_end; at++)
		sum = (sum ^ *at) * 0x100000001b3ULL;
	return sum;
}

/* May this CPU leave? Linux proper must be asking, on a table that has us: we return by a jump. */
static bool release(struct cpu_memory *m)
{
	struct vmcb *v = &m->host;
	struct cpu *c = &m->data;

	if (v->cs.selector != SEL_CODE || !(v->efer & EFER_LMA) || !host_maps_us(v))
		return false;
	c->out_gdtr = (struct table){ .limit = v->gdtr.limit, .base = v->gdtr.base };
	c->out_idtr = (struct table){ .limit = v->idtr.limit, .base = v->idtr.base };
	c->out_hsave = c->hsave;
	c->out_efer = (v->efer & ~EFER_SVME) | c->svme;
	set_state(c, CARETAKER_CPU_OUT);
	return true;
}

/* Returns whether the CPU is to go up. */
static bool hypercall(struct cpu_memory *m, struct regs *r)
{
	struct vmcb *v = &m->host;
	u64 number = v->rax & (PAGE - 1);
	struct cpu *c = &m->data;

	if (v->cpl) {
		count(c, CARETAKER_C_HC_USER);
		inject(v, EVENT_UD);
		return false;
	}
	count(c, CARETAKER_C_HYPERCALL);
	skip(v, 3);
	if (vcpu_hypercall(m, r, number))
		return false;
	if (v->rax != number) {
		count(c, CARETAKER_C_HC_REFUSED);
		v->rax = CARETAKER_EINVAL;
		return false;
	}
	v->rax = 0;
	switch (number) {
	case CARETAKER_HC_INFO:
		set_state(c, CARETAKER_CPU_IN);	/* could not be told from above */
		r->rbx = CARETAKER_MAGIC;
		r->rcx = CARETAKER_ABI;
		r->rdx = c->index;
		return false;
	case CARETAKER_HC_DIGEST:
		r->rbx = text_digest();
		return false;
	case CARETAKER_HC_RELEASE:
		if (release(m))
			return true;
		v->rax = CARETAKER_EPERM;
		break;
	default:
		v->rax = CARETAKER_ENOSYS;
	}
	count(c, CARETAKER_C_HC_REFUSED);
	return false;
}

static void nested_fault(struct cpu_memory *m)
{
	u64 gpa = m->host.exit_info_2;
	bool ours = overlap(gpa & ~(PAGE - 1), PAGE, g.p.pa, g.p.size);

	count(&m->data, ours ? CARETAKER_C_PRIVATE : CARETAKER_C_NPF_OTHER);
	say(&m->data, ours ? "host touched private memory" : "host touched no memory");
	say_value("gpa", gpa);
	say_value("info", m->host.exit_info_1);
	say_value("rip", m->host.rip);
	say_value("cpl", m->host.cpl);
	say_end();
	inject(&m->host, EVENT_GP);
}

static void svm_instruction(struct cpu_memory *m)
{
	if (m->host.exit_code == EXIT_STGI && m->data.svme && !m->host.cpl) {
		skip(&m->host, 3);	/* the host's GIF is always 1 */
		return;
	}
	count(&m->data, CARETAKER_C_SVM_REFUSED);
	inject(&m->host, EVENT_UD);
}

static bool handle(struct cpu_memory *m, struct regs *r)
{
	switch (m->host.exit_code) {
	case EXIT_VMMCALL:
		return hypercall(m, r);
	case EXIT_MSR:
		msr_exit(m, r);
		return false;
	case EXIT_NPF:
		nested_fault(m);
		return false;
	case EXIT_VMRUN:
	case EXIT_VMLOAD:
	case EXIT_VMSAVE:
	case EXIT_STGI:
	case EXIT_CLGI:
	case EXIT_SKINIT:
	case EXIT_INVLPGA:
		svm_instruction(m);
		return false;
	case EXIT_SHUTDOWN:
		stop(m, "the host shut this CPU down (triple fault)");
	case EXIT_INVALID:
		stop(m, "the processor refuses the host's VMCB");
	default:
		stop(m, "unknown exit");
	}
}

/* From entry.S. Not 0: up to Linux for good. */
u32 host_exit(struct cpu_memory *m, struct regs *r)
{
	u64 since = rdtsc();
	bool up;

	m->data.away = 0;
	m->host.event_inj = 0;
	m->host.tlb_ctl = 0;
	m->host.clean = 0;
	count(&m->data, CARETAKER_C_EXITS);
	up = handle(m, r);
	at_most(&m->data, CARETAKER_C_MAX_TSC, rdtsc() - since - m->data.away);
	return up;
}
