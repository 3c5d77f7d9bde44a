// SPDX-License-Identifier: GPL-2.0-only
/* Why the host's run ended, and what is done about it. An exit that is not here stops the CPU. */
#include "core.h"

static long hc_info(struct cpu_memory *m, struct regs *regs, u64 page)
{
	set_state(&m->data, CARETAKER_CPU_IN);	/* the window was not mapped when it entered */
	regs->rbx = CARETAKER_MAGIC;
	regs->rcx = CARETAKER_ABI;
	regs->rdx = m->data.index;
	return 0;
}

/* FNV-1a, 64 bits: not a signature; says that the text is what was loaded. */
static long hc_digest(struct cpu_memory *m, struct regs *regs, u64 page)
{
	u64 sum = 0xcbf29ce484222325ULL;
	const u8 *at;

	for (at = image; at < text_end; at++)
		sum = (sum ^ *at) * 0x100000001b3ULL;
	regs->rbx = sum;
	return 0;
}

static long hc_region(struct cpu_memory *m, struct regs *regs, u64 page)
{
	regs->rbx = g.p.pa;
	regs->rcx = g.p.size;
	regs->rdx = g.p.window;
	return 0;
}

static void __attribute__((used)) exit_init(void)
{
	hypercall_register(CARETAKER_HC_INFO, hc_info, false);
	hypercall_register(CARETAKER_HC_DIGEST, hc_digest, false);
	hypercall_register(CARETAKER_HC_REGION, hc_region, false);
}
CT_INIT(exit_init);

static long hypercall(struct cpu_memory *m, struct regs *regs, u64 rax)
{
	u64 number = rax & (PAGE - 1), page = rax & ~(PAGE - 1);
	const struct hypercall *h = number < NR_HYPERCALLS ? &g.hypercall[number] : NULL;

	if (page && !(h && h->takes_page))
		return refuse(&m->data, CARETAKER_C_HC_REFUSED, CARETAKER_EINVAL);
	if (!h || !h->serve)
		return refuse(&m->data, CARETAKER_C_HC_REFUSED, CARETAKER_ENOSYS);
	return h->serve(m, regs, page);
}

static void vmmcall(struct cpu_memory *m, struct regs *regs)
{
	struct vmcb *v = &m->host;

	if (v->cpl) {
		count(&m->data, CARETAKER_C_HC_USER);
		inject(v, EVENT_UD);
		return;
	}
	count(&m->data, CARETAKER_C_HYPERCALL);
	skip(v, 3);
	v->rax = hypercall(m, regs, v->rax);
}

static void nested_fault(struct cpu_memory *m)
{
	u64 gpa = m->host.exit_info_2;
	bool private = overlap(gpa & ~(PAGE - 1), PAGE, g.p.pa, g.p.size);
	struct cpu *c = &m->data;

	count(c, private ? CARETAKER_C_PRIVATE : CARETAKER_C_NPF_OTHER);
	say(c, private ? "the host touched private memory" : "the host touched no memory");
	say_value(c, "gpa", gpa);
	say_value(c, "info", m->host.exit_info_1);
	say_value(c, "rip", m->host.rip);
	say_value(c, "cpl", m->host.cpl);
	say_end(c);
	inject(&m->host, EVENT_GP);
}

static void svm_instruction(struct cpu_memory *m)
{
	if (m->host.exit_code == EXIT_STGI && m->data.host_svme && !m->host.cpl) {
		skip(&m->host, 3);	/* the host's GIF is always 1 */
		return;
	}
	count(&m->data, CARETAKER_C_SVM_REFUSED);
	inject(&m->host, EVENT_UD);
}

/* What the caches have is written back first: some of it may be the caretaker's. */
static void invd(struct cpu_memory *m)
{
	say(&m->data, "wrote the caches back for an INVD of the host's");
	say_value(&m->data, "rip", m->host.rip);
	say_end(&m->data);
	wbinvd();
	skip(&m->host, 2);
}

static void handle(struct cpu_memory *m, struct regs *regs)
{
	switch (m->host.exit_code) {
	case EXIT_VMMCALL:
		vmmcall(m, regs);
		break;
	case EXIT_MSR:
		msr_exit(m, regs);
		break;
	case EXIT_NPF:
		nested_fault(m);
		break;
	case EXIT_INVD:
		invd(m);
		break;
	case EXIT_VMRUN:
	case EXIT_VMLOAD:
	case EXIT_VMSAVE:
	case EXIT_STGI:
	case EXIT_CLGI:
	case EXIT_SKINIT:
	case EXIT_INVLPGA:
		svm_instruction(m);
		break;
	case EXIT_SHUTDOWN:
		stop(m, "the host shut this CPU down (triple fault)");
	case EXIT_INVALID:
		stop(m, "the processor refuses the host's VMCB");
	default:
		stop(m, "unknown exit");
	}
}

/**
 * host_exit() - serve what ended the host's run; called by entry.S
 * @m: memory of this CPU
 * @regs: the host's registers
 *
 * Return: 0: run the host; 1: it was released.
 */
u32 host_exit(struct cpu_memory *m, struct regs *regs)
{
	u64 since = rdtsc();

	m->data.away = 0;
	m->host.event_inj = 0;
	m->host.tlb_ctl = 0;
	m->host.clean = 0;
	count(&m->data, CARETAKER_C_EXITS);
	handle(m, regs);
	at_most(&m->data, CARETAKER_C_MAX_TSC, rdtsc() - since - m->data.away);
	return m->data.released;
}
