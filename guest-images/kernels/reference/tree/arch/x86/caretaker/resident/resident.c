// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a resident vCPU: it comes with a CPU, runs there, is parked and fetched. The
 * CPU was given up by the last instruction that its Linux executed on it; whichever
 * Linux fetches the vCPU can start the CPU again by an INIT.
 */
#include "cpu.h"

#define CR4_OSXSAVE	BIT(18)
#define RESIDENT_ASID	2
#define TSC_RATIO_1	BIT(32)
#define SPIV_ENABLED	0x1ff
#define SPIV_OFF	0xff
#define ROOM		(SHADOWS * SHADOW_BYTES)	/* no guest of KVM's runs here now */
#define MASKED_LVT	(BIT(16) | 0xfe)

/* The senders' side of struct resident.posted, and who may leave while they post. */
struct spinlock posts_lock;

/* Where GPRs are in struct regs, which has neither RAX nor RSP. */
static const u8 gpr_of[14] = { 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };

static bool map_run(struct resident *res, const struct caretaker_memory *run)
{
	u32 page;

	if (!run_ok(&g.limits, run))
		return false;
	for (page = 0; page < (run->pa & (PAGE - 1)); page++)
		if (!pt_map(&res->pt, run->gpa + page * PAGE,
			    (run->pa & ~(PAGE - 1)) + page * PAGE, PT_W | PT_U, 1))
			return false;
	return true;
}

/* Its nested table, with all of its memory at once: no kernel could serve a fault. */
static bool map_memory(struct resident *res)
{
	const struct caretaker_memory *host_list;
	host_pa_t list;
	u32 i, n;

	for (i = 0; i < res->own->lists; i++) {
		if (!host_pages(&g.limits, res->own->list[i], PAGE, &list))
			return false;
		host_list = host_ptr(&g.limits, list);
		for (n = 0; n < CARETAKER_RUNS; n++) {
			struct caretaker_memory run = host_list[n];	/* what is checked is used */

			if (!run.pa)
				break;
			if (!map_run(res, &run))
				return false;
		}
	}
	return true;
}

/* All of it is copied before any of it is looked at. Returns why it is refused, or NULL. */
static const char *take_in(struct cpu_memory *m, host_pa_t from)
{
	struct resident *res = resident_of(m);
	struct pt *room = &m->data.shadow[0].pt;

	if (!(m->host.cr4 & CR4_OSXSAVE))
		return "refused a vCPU: no XSAVE";
	memset(room->mem, 0, ROOM);
	res->own = (struct caretaker_vcpu *)(room->mem + ROOM - CARETAKER_VCPU_BYTES);
	memcpy(res->own, host_ptr(&g.limits, from), CARETAKER_VCPU_BYTES);
	set_cr4(READ("cr4") | CR4_OSXSAVE);
	res->wide = xgetbv();
	if (!vcpu_ok(&g.limits, res->own, res->wide))
		return "refused a vCPU: its state";
	pt_begin(&res->pt, room->mem, room->pa, (ROOM - CARETAKER_VCPU_BYTES) / PAGE, room->levels);
	return map_memory(res) ? NULL : "refused a vCPU: its memory";
}

static void load(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	u32 i;

	make_vmcb(&m->guest, res->own);
	m->guest.iopm_pa = g.iopm_pa;
	m->guest.msrpm_pa = m->data.pa + CPU_MSRPM;
	m->guest.asid = RESIDENT_ASID;
	m->guest.tlb_ctl = TLB_FLUSH_ALL;
	m->guest.nested_cr3 = res->pt.pa;
	lend_msrs(m->msrpm);
	for (i = 0; i < 14; i++)
		res->gpr[i] = res->own->gpr[gpr_of[i]];
	res->halted = res->own->halted;
	res->armed = false;
	res->entries = 0;
	memset(res->posted, 0, sizeof(res->posted));
	wrmsr(MSR_TSC_AUX, res->own->tsc_aux);
	if (g.limits.svm_features & SVM_TSC_RATE)	/* KVM may have left another guest's */
		wrmsr(MSR_TSC_RATIO, TSC_RATIO_1);
	/* XRSTOR first, and XSAVE last: both need what the narrower XCR0 does not have. */
	xrstor(res->own->xsave);
	xsetbv(res->own->xcr0);
}

/*
 * What VMRUN left in the VMCB goes into the record; but if it refused the VMCB, that may be
 * state of the caretaker's. A vCPU that never ran is then as it came.
 */
static void unload_vmcb(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	struct caretaker_vcpu *own = res->own;
	const struct vmcb *v = &m->guest;

	own->exit_code = v->exit_code;
	own->exit_info_1 = v->exit_info_1;
	own->exit_info_2 = v->exit_info_2;
	if ((u32)v->exit_code == (u32)EXIT_INVALID) {
		if (res->entries > 1)
			memset(own->save, 0, sizeof(own->save));
		return;
	}
	own->gpr[0] = v->rax;
	own->gpr[4] = v->rsp;
	memcpy(own->save, v, PAGE);
	memset(own->save, 0, VMCB_SAVE_AT);
	own->event = v->event_inj;
	own->int_state = v->int_state & 1;
}

static void unload(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	struct caretaker_vcpu *own = res->own;
	u64 parts = *(u64 *)(own->xsave + XSAVE_BV) | own->xcr0;	/* it had, or may have */
	u32 i;

	memset(own->xsave, 0, PAGE);
	xsetbv(res->wide);
	xsave(own->xsave, parts);
	own->tsc_aux = rdmsr(MSR_TSC_AUX);
	for (i = 0; i < 14; i++)
		own->gpr[gpr_of[i]] = res->gpr[i];
	unload_vmcb(m);
	own->halted = res->halted;
	own->entries = res->entries;
}

/* The CPU's own APIC: for the kicks of other CPUs, and for the timer. */
static void apic_on(void)
{
	u32 lvt;

	wrmsr(MSR_X2APIC_SPIV, SPIV_ENABLED);
	for (lvt = MSR_X2APIC_LVTT; lvt <= MSR_X2APIC_LVT_ERROR; lvt++)
		wrmsr(lvt, MASKED_LVT);
	wrmsr(MSR_X2APIC_TPR, FIRST_VECTOR - 16);	/* no exceptions' vectors */
}

/**
 * sibling() - find a vCPU of the same guest
 * @m: memory of a CPU that has a resident vCPU
 * @index: of any CPU
 *
 * Context: with posts_lock held it stays where it is.
 * Return: memory of that CPU, or NULL if it has none of that guest's.
 */
struct cpu_memory *sibling(const struct cpu_memory *m, u32 index)
{
	const struct caretaker_vcpu *own = resident_of(m)->own, *other;
	struct cpu_memory *to = &g.cpus[index];
	u32 state = __atomic_load_n(&to->data.state, __ATOMIC_ACQUIRE);

	if (state != CARETAKER_CPU_HELD && state != CARETAKER_CPU_PARKED)
		return NULL;
	other = resident_of(to)->own;
	return own->guest[0] == other->guest[0] && own->guest[1] == other->guest[1] ? to : NULL;
}

/**
 * all_here() - are all vCPUs of the guest on CPUs of the caretaker's?
 * @m: memory of a CPU that has a resident vCPU
 *
 * Return: true if they are.
 */
bool all_here(const struct cpu_memory *m)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < g.p.cpus; i++)
		n += sibling(m, i) != NULL;
	return n == resident_of(m)->own->members;
}

/**
 * kick() - get a CPU out of its guest, or out of HLT
 * @m: memory of that CPU, which is HELD, PARKED or LEAVING
 */
void kick(struct cpu_memory *m)
{
	mfence();	/* WRMSR of the ICR waits for no store */
	wrmsr(MSR_X2APIC_ICR, (u64)m->data.apic_id << 32 | KICK_VECTOR);
}

/* For what can only look. */
static void show_vcpu(struct cpu_memory *m)
{
	struct caretaker_cpu_status *w = &g.host_window->cpu[m->data.index];

	w->entries = resident_of(m)->entries;
	w->exit_code = m->guest.exit_code;
	w->exit_info_1 = m->guest.exit_info_1;
	w->exit_info_2 = m->guest.exit_info_2;
	w->rip = m->guest.rip;
}

/* Run it, until another CPU asks, or an exit is not served. */
static void run_vcpu(struct cpu_memory *m)
{
	struct resident *res = resident_of(m);
	struct vmcb *v = &m->guest;

	while (!all_here(m) && __atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) == ASK_NOTHING)
		__builtin_ia32_pause();
	while (__atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) == ASK_NOTHING) {
		apic_merge(res->own->apic, res->posted);
		timer_check(res);
		if (res->halted && !can_wake(m)) {
			timer_arm(res);
			wait_for_interrupt();
			res->armed = false;
			continue;
		}
		res->halted = false;
		offer_interrupt(m);
		timer_arm(res);
		v->clean = 0;
		res->entries++;
		run_guest(m->data.pa + CPU_GUEST, (struct regs *)res->gpr,
			  m->data.pa + CPU_CT_STATE);
		v->tlb_ctl = 0;
		v->event_inj = v->exit_int_info & EVENT_VALID ? v->exit_int_info : 0;
		show_vcpu(m);
		if (serve(m) == PARK_VCPU)
			return;
	}
	v->exit_code = EXIT_INTR;	/* another CPU asked */
}

/* The room that the vCPU had is that of shadow tables again. */
static void give_back_room(struct cpu_memory *m)
{
	u32 i;

	memset(m->data.shadow[0].pt.mem, 0, ROOM);
	for (i = 0; i < SHADOWS; i++)
		shadow_drop(&m->data.shadow[i]);
}

/* Halt outside of SVM, in the image: an INIT is let through from here on. */
static void leave(struct cpu_memory *m)
{
	struct cpu *c = &m->data;

	give_back_room(m);
	memset(m->msrpm, 0xff, sizeof(m->msrpm));
	memset(&m->guest, 0, PAGE);
	wrmsr(MSR_X2APIC_LVTT, MASKED_LVT);
	wrmsr(MSR_X2APIC_SPIV, SPIV_OFF);
	c->ask = ASK_NOTHING;
	say(c, "is free");
	say_end(c);
	wrmsr(MSR_VM_HSAVE_PA, 0);
	stgi();
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	set_state(c, CARETAKER_CPU_HALTED);
	halt();
}

static void log_vcpu(struct cpu_memory *m, const char *what)
{
	struct cpu *c = &m->data;

	show_vcpu(m);
	say(c, what);
	say_value(c, "exit", m->guest.exit_code);
	say_value(c, "info1", m->guest.exit_info_1);
	say_value(c, "info2", m->guest.exit_info_2);
	say_value(c, "rip", m->guest.rip);
	say_value(c, "entries", resident_of(m)->entries);
	say_end(c);
}

/**
 * resident_hold() - have this CPU run a vCPU instead of the host
 * @m: memory of this CPU
 * @from: a struct caretaker_vcpu in the host's memory
 *
 * Return: only if the vCPU is refused: why.
 */
const char *resident_hold(struct cpu_memory *m, host_pa_t from)
{
	const char *why = take_in(m, from);

	if (why) {
		give_back_room(m);
		return why;
	}
	load(m);
	apic_on();
	set_state(&m->data, CARETAKER_CPU_HELD);
	log_vcpu(m, "holds a vCPU");
	run_vcpu(m);
	unload(m);
	log_vcpu(m, "parked its vCPU");
	set_state(&m->data, CARETAKER_CPU_PARKED);
	while (__atomic_load_n(&m->data.ask, __ATOMIC_ACQUIRE) != ASK_LEAVE)
		wait_for_interrupt();
	leave(m);
	return NULL;
}

static struct cpu_memory *in_state(u64 index, u32 state)
{
	struct cpu_memory *m = &g.cpus[index];

	if (index >= g.p.cpus || __atomic_load_n(&m->data.state, __ATOMIC_ACQUIRE) != state)
		return NULL;
	return m;
}

/* Ask a CPU for something, unless it has been asked for something else. */
static void ask(struct cpu *self, struct cpu_memory *m, u32 from, u32 what)
{
	assert_held(self, &posts_lock);
	if (__atomic_compare_exchange_n(&m->data.ask, &from, what, false,
					__ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
		kick(m);
}

/**
 * resident_stop() - have a CPU park its vCPU
 * @self: this CPU
 * @index: of that CPU
 *
 * Does not wait: the window says when the vCPU is parked.
 *
 * Return: 0, or CARETAKER_EINVAL if the CPU has none.
 */
long resident_stop(struct cpu *self, u64 index)
{
	long r = CARETAKER_EINVAL;
	struct cpu_memory *m;

	spin_lock(&posts_lock, self->index);	/* so that it is not fetched meanwhile */
	m = in_state(index, CARETAKER_CPU_HELD);
	if (m)
		ask(self, m, ASK_NOTHING, ASK_STOP);
	if (m || in_state(index, CARETAKER_CPU_PARKED))
		r = 0;
	spin_unlock(&posts_lock);
	return r;
}

/**
 * resident_fetch() - copy a parked vCPU out, and have its CPU leave
 * @self: this CPU
 * @index: of the CPU that has it
 * @to: where a struct caretaker_vcpu goes, in the host's memory
 *
 * Return: 0, once for each vCPU; CARETAKER_EBUSY: it runs; CARETAKER_EINVAL: there is
 * none, or none any more.
 */
long resident_fetch(struct cpu *self, u64 index, host_pa_t to)
{
	long r = CARETAKER_EINVAL;
	struct cpu_memory *m;
	struct resident *res;

	spin_lock(&posts_lock, self->index);
	m = in_state(index, CARETAKER_CPU_PARKED);
	if (m) {
		res = resident_of(m);
		set_state(&m->data, CARETAKER_CPU_LEAVING);	/* no sibling posts to it */
		apic_merge(res->own->apic, res->posted);
		memcpy(host_ptr(&g.limits, to), res->own, CARETAKER_VCPU_BYTES);
		ask(self, m, m->data.ask, ASK_LEAVE);
		r = 0;
	} else if (in_state(index, CARETAKER_CPU_HELD)) {
		r = CARETAKER_EBUSY;
	}
	spin_unlock(&posts_lock);
	return r;
}
