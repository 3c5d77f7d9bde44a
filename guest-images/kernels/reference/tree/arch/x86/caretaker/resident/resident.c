// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU comes to a CPU of ours, runs there, and is fetched. The CPU was given
 * to us by the last instruction that its Linux executed on it; whichever Linux
 * fetches the vCPU can start the CPU again by an INIT.
 */
#include "exits.h"

#define CR4_OSXSAVE	BIT(18)
#define RUN_ASID	2
#define SPIV_ENABLED	0x1ff
#define SPIV_OFF	0xff
#define ROOM		(SHADOWS * SHADOW_BYTES)	/* no guest of KVM's runs here now */
#define MASKED_LVT	(BIT(16) | 0xfe)

/* Where GPRs are in struct regs: that has neither RAX nor RSP. */
static const u8 gpr_of[14] = { 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static u64 xgetbv(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

static void xsetbv(u64 value)
{
	asm volatile("xsetbv" : : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)));
}

/* Its nested table: all of its memory at once, for who could serve a fault? */
static bool map_memory(struct resident *r)
{
	const struct caretaker_memory *list;
	u32 i, n, page;

	for (i = 0; i < r->own->lists; i++) {
		list = (const void *)r->own->list[i];
		for (n = 0; n < CARETAKER_RUNS; n++) {
			struct caretaker_memory run = list[n];	/* checked is what is used */

			if (!run.pa)
				break;
			if (!run_ok(&g.limits, &run))
				return false;
			for (page = 0; page < (run.pa & (PAGE - 1)); page++)
				if (!pt_map(&r->pt, run.gpa + page * PAGE,
					    (run.pa & ~(PAGE - 1)) + page * PAGE, PT_W | PT_U, 1))
					return false;
		}
	}
	return true;
}

/* All of it is copied before any of it is looked at. Returns why it may not come, or NULL. */
static const char *refusal(struct cpu_memory *m, u64 pa)
{
	struct resident *r = &m->vcpu;
	struct pt *room = &m->data.shadow[0].pt;

	if (!page_ok(&g.limits, pa, CARETAKER_VCPU_BYTES) || !(m->host.cr4 & CR4_OSXSAVE))
		return "refused a vCPU: no such page, or no XSAVE";
	memset(room->mem, 0, ROOM);
	r->own = (struct caretaker_vcpu *)(room->mem + ROOM - CARETAKER_VCPU_BYTES);
	memcpy(r->own, (const void *)pa, CARETAKER_VCPU_BYTES);
	asm volatile("mov %0, %%cr4" : : "r"(READ("cr4") | CR4_OSXSAVE));
	r->wide = xgetbv();
	if (!vcpu_ok(&g.limits, r->own, r->wide))
		return "refused a vCPU: its state";
	pt_begin(&r->pt, room->mem, room->pa, (ROOM - CARETAKER_VCPU_BYTES) / PAGE, room->levels);
	return map_memory(r) ? NULL : "refused a vCPU: its memory";
}

static void load(struct cpu_memory *m)
{
	struct resident *r = &m->vcpu;
	u32 i;

	make_vmcb(&m->guest, r->own);
	m->guest.iopm_pa = g.iopm_pa;
	m->guest.msrpm_pa = m->data.pa + CPU_MSRPM;
	m->guest.asid = RUN_ASID;
	m->guest.tlb_ctl = TLB_FLUSH_ALL;
	m->guest.nested_cr3 = r->pt.pa;
	lend_msrs(m->msrpm);
	for (i = 0; i < 14; i++)
		r->gpr[i] = r->own->gpr[gpr_of[i]];
	r->halted = r->own->halted;
	r->armed = false;
	r->entries = 0;
	memset(r->posted, 0, sizeof(r->posted));
	wrmsr(MSR_TSC_AUX, r->own->tsc_aux);
	/* XRSTOR first, and XSAVE last: they see to what the narrower XCR0 does not have. */
	asm volatile("xrstor64 %0" : : "m"(r->own->xsave), "a"(-1), "d"(-1));
	xsetbv(r->own->xcr0);
}

static void unload(struct cpu_memory *m)
{
	struct resident *r = &m->vcpu;
	struct caretaker_vcpu *own = r->own;
	u64 parts = *(u64 *)(own->xsave + XSAVE_BV) | own->xcr0;	/* that it had, or may have */
	struct vmcb *v = &m->guest;
	u32 i;

	memset(own->xsave, 0, PAGE);
	xsetbv(r->wide);
	asm volatile("xsave64 %0" : "=m"(own->xsave)
		     : "a"((u32)parts), "d"((u32)(parts >> 32)) : "memory");
	own->tsc_aux = rdmsr(MSR_TSC_AUX);
	for (i = 0; i < 14; i++)
		own->gpr[gpr_of[i]] = r->gpr[i];
	if ((u32)v->exit_code == (u32)EXIT_INVALID)
		memset(v, 0, PAGE);	/* it may be of us */
	own->gpr[0] = v->rax;
	own->gpr[4] = v->rsp;
	memcpy(own->save, v, PAGE);
	memset(own->save, 0, SAVE_AT);
	own->event = v->event_inj;
	own->int_state = v->int_state & 1;
	own->halted = r->halted;
	own->exit_code = v->exit_code;
	own->exit_info_1 = v->exit_info_1;
	own->exit_info_2 = v->exit_info_2;
	own->entries = r->entries;
}

/* The CPU's own APIC: for the kicks of other CPUs, and for our timer. */
static void apic_on(void)
{
	u32 lvt;

	wrmsr(0x80f, SPIV_ENABLED);
	for (lvt = 0x832; lvt <= 0x837; lvt++)
		wrmsr(lvt, MASKED_LVT);
	wrmsr(0x808, 0);
}

u32 posts;

/* The CPU of that index, if it has a vCPU of the same guest. */
struct cpu_memory *sibling(const struct cpu_memory *m, u32 index)
{
	struct cpu_memory *to = &g.cpus[index];
	u32 state = __atomic_load_n(&to->data.state, __ATOMIC_ACQUIRE);

	if (state != CARETAKER_CPU_HELD && state != CARETAKER_CPU_PARKED)
		return NULL;
	return to->vcpu.own->group == m->vcpu.own->group ? to : NULL;
}

bool all_here(const struct cpu_memory *m)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < g.p.cpus; i++)
		n += sibling(m, i) != NULL;
	return n == m->vcpu.own->members;
}

void lock(u32 *l)
{
	while (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
}

void unlock(u32 *l)
{
	__atomic_store_n(l, 0, __ATOMIC_RELEASE);
}

/* Out of the guest, or out of HLT. */
void kick(struct cpu_memory *m)
{
	asm volatile("mfence" : : : "memory");	/* WRMSR of the ICR waits for no store */
	wrmsr(MSR_ICR, (u64)m->data.apic_id << 32 | KICK_VECTOR);
}

/* Until somebody asks for it, or it does what we do not serve. */
static void live(struct cpu_memory *m)
{
	struct resident *r = &m->vcpu;
	struct vmcb *v = &m->guest;

	while (!all_here(m) && __atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) == ASK_NOTHING)
		__builtin_ia32_pause();
	while (__atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) == ASK_NOTHING) {
		apic_merge(r->own->apic, r->posted);
		timer_look(r);
		if (r->halted && !may_wake(m)) {
			timer_arm(r);
			idle();
			r->armed = false;
			continue;
		}
		r->halted = false;
		offer(m);
		timer_arm(r);
		v->clean = 0;
		r->entries++;
		run_guest(m->data.pa + CPU_GUEST, (struct regs *)r->gpr, m->data.pa + CPU_ROOT);
		v->tlb_ctl = 0;
		v->event_inj = v->exit_int_info & EVENT_VALID ? v->exit_int_info : 0;
		show_vcpu(m);
		if (!serve(m))
			return;
	}
	v->exit_code = EXIT_INTR;	/* it was asked to */
}

static void forget(struct cpu_memory *m)
{
	u32 i;

	memset(m->data.shadow[0].pt.mem, 0, ROOM);
	for (i = 0; i < SHADOWS; i++)
		shadow_drop(&m->data.shadow[i]);
}

/* The CPU is nobody's: whoever sends it an INIT has it. */
static void leave(struct cpu_memory *m)
{
	struct cpu *c = &m->data;

	forget(m);
	memset(m->msrpm, 0xff, sizeof(m->msrpm));
	memset(&m->guest, 0, PAGE);
	wrmsr(0x832, MASKED_LVT);
	wrmsr(0x80f, SPIV_OFF);
	c->ask = ASK_NOTHING;
	say(c, "is free");
	say_end();
	wrmsr(MSR_VM_HSAVE_PA, 0);
	asm volatile("stgi");
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	set_state(c, CARETAKER_CPU_OUT);
	halt();
}

static void told(struct cpu_memory *m, const char *what)
{
	show_vcpu(m);
	say(&m->data, what);
	say_value("exit", m->guest.exit_code);
	say_value("info1", m->guest.exit_info_1);
	say_value("info2", m->guest.exit_info_2);
	say_value("rip", m->guest.rip);
	say_value("entries", m->vcpu.entries);
	say_end();
}

/* CARETAKER_HC_HOLD. Returns only if it is refused. */
void hold(struct cpu_memory *m)
{
	const char *why = refusal(m, m->host.rax & ~(PAGE - 1));

	if (why) {
		say(&m->data, why);
		say_end();
		forget(m);
		m->host.rax = CARETAKER_EINVAL;
		return;
	}
	load(m);
	apic_on();
	set_state(&m->data, CARETAKER_CPU_HELD);
	told(m, "holds a vCPU");
	live(m);
	unload(m);
	told(m, "parked its vCPU");
	set_state(&m->data, CARETAKER_CPU_PARKED);
	while (__atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) != ASK_LEAVE)
		idle();
	leave(m);
}

static struct cpu_memory *held(u64 index, u32 state)
{
	struct cpu_memory *m = &g.cpus[index];

	if (index >= g.p.cpus || __atomic_load_n(&m->data.state, __ATOMIC_ACQUIRE) != state)
		return NULL;
	return m;
}

static void ask(struct cpu_memory *m, u32 what)
{
	__atomic_store_n(&m->data.ask, what, __ATOMIC_RELEASE);
	kick(m);
}

/* CARETAKER_HC_STOP: does not wait; the window says when it is parked. */
long resident_stop(u64 index)
{
	struct cpu_memory *m = held(index, CARETAKER_CPU_HELD);

	if (!m)
		return held(index, CARETAKER_CPU_PARKED) ? 0 : CARETAKER_EINVAL;
	ask(m, ASK_STOP);
	return 0;
}

/* CARETAKER_HC_FETCH: once, for then it is gone from here. */
long resident_fetch(u64 index, u64 pa)
{
	struct cpu_memory *m = held(index, CARETAKER_CPU_PARKED);
	u32 parked = CARETAKER_CPU_PARKED;

	if (!m)
		return held(index, CARETAKER_CPU_HELD) ? CARETAKER_EBUSY : CARETAKER_EINVAL;
	if (!page_ok(&g.limits, pa, CARETAKER_VCPU_BYTES))
		return CARETAKER_EINVAL;
	lock(&posts);
	if (!__atomic_compare_exchange_n(&m->data.state, &parked, CARETAKER_CPU_LEAVING, false,
					 __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
		unlock(&posts);
		return CARETAKER_EINVAL;
	}
	apic_merge(m->vcpu.own->apic, m->vcpu.posted);
	unlock(&posts);		/* from here on it gets none */
	memcpy((void *)pa, m->vcpu.own, CARETAKER_VCPU_BYTES);
	set_state(&m->data, CARETAKER_CPU_LEAVING);
	ask(m, ASK_LEAVE);
	return 0;
}
