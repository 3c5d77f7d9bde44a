// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a resident vCPU, in userspace: the code that runs below, on a processor and
 * with a guest that are played by this file. Prints KTAP; ends with 1 if a test failed:
 *
 *   gcc -I../../../arch/x86/caretaker/core -I../../../arch/x86/caretaker/resident \
 *       -include privileged.h -fsanitize=address,undefined -pthread lifecycle.c \
 *       ../../../arch/x86/caretaker/resident/{resident,exits,validate,vapic}.c \
 *       ../../../arch/x86/caretaker/core/{npt,check,shadow}.c
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdlib.h>
#include <unistd.h>

#include "cpu.h"
#include "harness.h"

#define CPUS	3
#define ROOM	(SHADOWS * SHADOW_BYTES)

struct globals g;
u64 fake_msr[0x900], fake_tsc_ratio, fake_tsc, fake_xcr0;

static struct caretaker_window window;
static _Alignas(4096) struct cpu_memory cpus[CPUS];
static _Alignas(4096) struct caretaker_vcpu vcpu, fetched;
static _Alignas(4096) struct caretaker_memory list[CARETAKER_RUNS];
static jmp_buf halted;

static void (*guest)(struct vmcb *v, u32 entry);	/* until its exit */
static void (*waiting)(struct cpu_memory *m);		/* while the CPU waits */
static u32 entries;
static u64 kicked;

void fake_kicked(u64 icr)
{
	kicked = icr;
}

/* CPU 1 is the one whose code runs here. */
void run_guest(u64 vmcb_pa, struct regs *regs, u64 ct_state_pa)
{
	cpus[1].guest.exit_int_info = 0;
	guest(&cpus[1].guest, ++entries);
}

void take_interrupts(void) {}

void wait_for_interrupt(void)
{
	waiting(&cpus[1]);
}

void halt(void)
{
	longjmp(halted, 1);
}

void count(struct cpu *c, u32 which)
{
	c->counter[which]++;
}

void set_state(struct cpu *c, u32 state)
{
	__atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
}

void say(struct cpu *c, const char *what) {}
void say_value(struct cpu *c, const char *name, u64 value) {}
void say_end(struct cpu *c) {}

void assert_held(struct cpu *c, const struct spinlock *l)
{
	CHECK(spin_is_held(l, c->index));
}

void skip(struct vmcb *v, u32 bytes)
{
	v->rip += bytes;
}

static void fresh(void)
{
	struct vmcb *save = (struct vmcb *)vcpu.save;
	u32 i;

	memset(cpus, 0, sizeof(cpus));
	memset(&vcpu, 0, sizeof(vcpu));
	memset(&fetched, 0, sizeof(fetched));
	memset(fake_msr, 0, sizeof(fake_msr));
	fake_xcr0 = 7;
	fake_tsc = entries = 0;
	kicked = 0;
	posts_lock = (struct spinlock){ 0 };
	g = (struct globals){ .cpus = cpus, .host_window = &window };
	g.p.cpus = CPUS;
	g.limits = (struct limits){ .end = BIT(47), .host_asid = 1, .asids = 16,
			      .efer_known = ~0ULL, .cr4_known = ~0ULL };
	for (i = 0; i < CPUS; i++) {
		cpus[i].data.index = i;
		cpus[i].data.apic_id = i;
		cpus[i].host.cr4 = BIT(18);		/* OSXSAVE */
	}
	list[0] = (struct caretaker_memory){ .gpa = 0, .pa = MIB(16) | 4 };
	list[1] = (struct caretaker_memory){ 0 };
	vcpu.magic = CARETAKER_MAGIC;
	vcpu.abi = CARETAKER_ABI;
	vcpu.lists = vcpu.members = 1;
	vcpu.list[0] = (u64)list;
	vcpu.tsc_khz = vcpu.timer_khz = 1000000;
	vcpu.xcr0 = vcpu.xsave[XSAVE_BV] = 7;
	vcpu.gpr[0] = 0x1111;
	vcpu.gpr[1] = 0x2222;
	vcpu.gpr[4] = 0x4444;
	save->rip = 0x5555;
	save->cr3 = 0x6000;
	save->rflags = BIT(9) | 2;
	*(u32 *)(vcpu.apic + 0xf0) = 0x1ff;		/* SPIV: on */
	*(u32 *)(vcpu.apic + 0x320) = 0x400ec;		/* LVTT: deadline */
}

/* From HOLD until the CPU halts. */
static void live(void (*its_guest)(struct vmcb *v, u32 entry), void (*meanwhile)(struct cpu_memory *m))
{
	static struct {
		_Alignas(4096) u8 mem[ROOM];
	} room;

	guest = its_guest;
	waiting = meanwhile;
	pt_begin(&cpus[1].data.shadow[0].pt, room.mem, GIB(8), SHADOW_BYTES / PAGE, 4);
	pt_begin(&cpus[1].data.shadow[1].pt, room.mem + SHADOW_BYTES, GIB(8) + SHADOW_BYTES,
		 SHADOW_BYTES / PAGE, 4);
	cpus[1].data.state = CARETAKER_CPU_IN;
	if (!setjmp(halted))
		CHECK(!resident_hold(&cpus[1], (host_pa_t){ (u64)&vcpu }));
}

static void fetch(struct cpu_memory *m)
{
	if (m->data.state == CARETAKER_CPU_PARKED)
		CHECK(!resident_fetch(&cpus[0].data, 1, (host_pa_t){ (u64)&fetched }));
}

static void does_io(struct vmcb *v, u32 entry)
{
	v->exit_code = 0x7b;
	v->exit_info_1 = 0x3f80210;
	v->rip = 0x7777;
}

static void comes_and_goes(void)
{
	struct vmcb *save = (struct vmcb *)fetched.save;

	fresh();
	live(does_io, fetch);
	CHECK(cpus[1].data.state == CARETAKER_CPU_HALTED && entries == 1);
	CHECK(fetched.exit_code == 0x7b && fetched.exit_info_1 == 0x3f80210);
	CHECK(save->rip == 0x7777 && save->cr3 == 0x6000 && fetched.gpr[0] == 0x1111);
	CHECK(fetched.gpr[4] == 0x4444 && fetched.entries == 1);
	CHECK(resident_fetch(&cpus[0].data, 1, (host_pa_t){ (u64)&fetched }) == CARETAKER_EINVAL);
	/* It halts in the image, which must not be replaced before an INIT starts the CPU. */
	CHECK(is_native(CARETAKER_CPU_HALTED) && is_native(CARETAKER_CPU_OUT));
	CHECK(!is_native(CARETAKER_CPU_IN) && !is_native(CARETAKER_CPU_HELD));
}

static void is_refused_by_vmrun(struct vmcb *v, u32 entry)
{
	v->exit_code = EXIT_INVALID;
	v->exit_info_1 = 0;
	v->rip = v->cr3 = v->rax = v->rsp = 0xbad;	/* state of the caretaker's, under QEMU */
}

/* A vCPU that VMRUN refuses comes back as it went in, and says why. */
static void refused_vcpu(void)
{
	struct vmcb *save = (struct vmcb *)fetched.save;

	fresh();
	vcpu.event = EVENT_INTR(0x40);
	live(is_refused_by_vmrun, fetch);
	CHECK(fetched.exit_code == EXIT_INVALID);
	CHECK(save->rip == 0x5555 && save->cr3 == 0x6000);
	CHECK(fetched.gpr[0] == 0x1111 && fetched.gpr[1] == 0x2222 && fetched.gpr[4] == 0x4444);
	CHECK(fetched.event == EVENT_INTR(0x40));
}

/* Interrupts with the vector of an exception are shut out by the CPU's own APIC. */
static void own_apic(void)
{
	fresh();
	live(does_io, fetch);
	CHECK(fake_msr[MSR_X2APIC_TPR] == 0x10);
}

static void *stops(void *unused)
{
	return (void *)resident_stop(&cpus[2].data, 1);
}

/* STOP and FETCH: nothing is asked of a CPU without the lock, nor of one that leaves. */
static void stop_and_fetch(void)
{
	pthread_t stopper;
	void *r;

	fresh();
	cpus[1].data.state = CARETAKER_CPU_HELD;
	spin_lock(&posts_lock, 0);
	pthread_create(&stopper, NULL, stops, NULL);
	usleep(50000);
	CHECK(cpus[1].data.ask == ASK_NOTHING);
	cpus[1].data.state = CARETAKER_CPU_LEAVING;
	cpus[1].data.ask = ASK_LEAVE;
	spin_unlock(&posts_lock);
	pthread_join(stopper, &r);
	CHECK((long)r == CARETAKER_EINVAL);
	CHECK(cpus[1].data.ask == ASK_LEAVE && !kicked);

	fresh();
	cpus[1].data.state = CARETAKER_CPU_HELD;
	CHECK(!resident_stop(&cpus[0].data, 1));
	CHECK(cpus[1].data.ask == ASK_STOP && kicked == (1ULL << 32 | KICK_VECTOR));
	CHECK(!resident_stop(&cpus[0].data, 1));
	cpus[1].data.state = CARETAKER_CPU_PARKED;
	CHECK(!resident_stop(&cpus[0].data, 1));
	cpus[1].data.state = CARETAKER_CPU_OUT;
	CHECK(resident_stop(&cpus[0].data, 1) == CARETAKER_EINVAL);
	CHECK(resident_stop(&cpus[0].data, CPUS) == CARETAKER_EINVAL);
	CHECK(!posts_lock.owner);
}

/* One that leaves cannot be fetched again. */
static void fetch_twice(struct cpu_memory *m)
{
	if (m->data.state != CARETAKER_CPU_PARKED)
		return;
	CHECK(!resident_fetch(&cpus[0].data, 1, (host_pa_t){ (u64)&fetched }));
	CHECK(resident_fetch(&cpus[2].data, 1, (host_pa_t){ (u64)&fetched }) == CARETAKER_EINVAL);
	CHECK(resident_stop(&cpus[2].data, 1) == CARETAKER_EINVAL);
	CHECK(m->data.ask == ASK_LEAVE && !posts_lock.owner);
}

static void fetch_once(void)
{
	fresh();
	cpus[1].data.state = CARETAKER_CPU_HELD;
	CHECK(resident_fetch(&cpus[0].data, 1, (host_pa_t){ (u64)&fetched }) == CARETAKER_EBUSY);
	fresh();
	live(does_io, fetch_twice);
	CHECK(cpus[1].data.state == CARETAKER_CPU_HALTED);
}

/* vCPUs are of one guest if all of its id is the same. */
static void siblings(void)
{
	static struct caretaker_vcpu others[2];
	u32 i;

	fresh();
	for (i = 0; i < 2; i++) {
		others[i].guest[0] = 0x1234;
		others[i].guest[1] = 0x5678;
		others[i].members = 2;
		cpus[1 + i].data.state = CARETAKER_CPU_HELD;
		resident_of(&cpus[1 + i])->own = &others[i];
	}
	CHECK(sibling(&cpus[1], 2) == &cpus[2] && !sibling(&cpus[1], 0) && all_here(&cpus[1]));
	others[1].guest[1]++;
	CHECK(!sibling(&cpus[1], 2) && !all_here(&cpus[1]));
	others[1].guest[1]--;
	others[1].guest[0]++;
	CHECK(!sibling(&cpus[1], 2));
}

static void raises_ac(struct vmcb *v, u32 entry)
{
	if (entry == 1) {
		v->exit_code = EXIT_AC;
	} else if (entry == 2) {
		CHECK(v->event_inj == EVENT_AC && v->rip == 0x5555);
		v->exit_code = EXIT_DB;
	} else if (entry == 3) {
		CHECK(v->event_inj == EVENT_DB);
		v->exit_code = EXIT_AC;		/* while this was delivered: */
		v->exit_int_info = EVENT_INTR(0x41);
	} else {
		CHECK(v->event_inj == EVENT_INTR(0x41));
		does_io(v, entry);
	}
}

static void exceptions(void)
{
	fresh();
	live(raises_ac, fetch);
	CHECK(entries == 4);
}

static u64 lvtt;

static void leaves_deadline_mode(struct vmcb *v, u32 entry)
{
	struct resident *res = resident_of(&cpus[1]);

	if (entry == 1 || entry == 2) {
		v->exit_code = EXIT_MSR;
		v->exit_info_1 = 1;
		res->gpr[0] = MSR_X2APIC_LVTT;
		res->gpr[1] = 0;
		v->rax = entry == 1 ? lvtt : 0x400ec;	/* and comes back */
	} else {
		does_io(v, entry);
	}
}

/* A deadline does not survive that LVTT leaves deadline mode; it does if LVTT stays. */
static void deadline(void)
{
	fresh();
	vcpu.tsc_deadline = 1000;
	lvtt = 0x100ec;				/* masked, one-shot */
	live(leaves_deadline_mode, fetch);
	CHECK(entries == 3 && !fetched.tsc_deadline);
	fresh();
	vcpu.tsc_deadline = 1000;
	lvtt = 0x500ec;				/* masked, deadline */
	live(leaves_deadline_mode, fetch);
	CHECK(entries == 3 && fetched.tsc_deadline == 1000);
}

static void reads_cr8(struct vmcb *v, u32 entry)
{
	CHECK((v->int_ctl & INT_V_TPR) == 0xa);
	does_io(v, entry);
}

static void task_priority(void)
{
	fresh();
	*(u32 *)(vcpu.apic + 0x80) = 0xa3;
	live(reads_cr8, fetch);
	CHECK(entries == 1 && vcpu.apic[0x80] == 0xa3);
}

/* Another guest's ratio does not stay; and is not touched where there is none. */
static void tsc_ratio(void)
{
	fresh();
	fake_tsc_ratio = BIT(33);
	live(does_io, fetch);
	CHECK(fake_tsc_ratio == BIT(33));
	fresh();
	g.limits.svm_features = SVM_TSC_RATE;
	live(does_io, fetch);
	CHECK(fake_tsc_ratio == BIT(32));
}

static const struct test tests[] = {
	TEST(comes_and_goes),
	TEST(refused_vcpu),
	TEST(own_apic),
	TEST(stop_and_fetch),
	TEST(fetch_once),
	TEST(siblings),
	TEST(exceptions),
	TEST(deadline),
	TEST(task_priority),
	TEST(tsc_ratio),
};

int main(void)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
