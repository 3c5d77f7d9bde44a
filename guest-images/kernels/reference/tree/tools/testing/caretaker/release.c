// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which CPU may leave the caretaker, in userspace. Prints KTAP; ends with 1 if a test
 * failed:
 *
 *   gcc -I../../../arch/x86/caretaker/core -include privileged.h \
 *       -fsanitize=address,undefined release.c
 */
#include <string.h>

#include "harness.h"
#undef NULL
#include "../../../arch/x86/caretaker/core/release.c"

#define CPUS	4

struct globals g;
u64 fake_msr[0x900], fake_tsc_ratio, fake_tsc, fake_xcr0;

static _Alignas(4096) struct cpu_memory cpus[CPUS];
static _Alignas(4096) u64 table[2][512];
static hypercall_t release;

void fake_kicked(u64 icr)
{
	CHECK(!icr);
}

void hypercall_register(u32 number, hypercall_t serve, bool takes_page)
{
	if (number == CARETAKER_HC_RELEASE && !takes_page)
		release = serve;
}

void set_state(struct cpu *c, u32 state)
{
	c->state = state;
}

long refuse(struct cpu *c, u32 which, long error)
{
	c->counter[which]++;
	return error;
}

/* CPU 0 of a host whose table has the image where it runs, at 1 GiB; the others are out. */
static void fresh(void)
{
	u32 i;

	memset(cpus, 0, sizeof(cpus));
	leave_lock = (struct spinlock){ 0 };
	g = (struct globals){ .cpus = cpus };
	g.p.cpus = CPUS;
	g.p.va = g.p.pa = GIB(1);
	g.limits.end = BIT(47);
	table[0][0] = (u64)table[1] | PT_P;
	table[1][1] = GIB(1) | PT_P | PT_LEAF;
	for (i = 0; i < CPUS; i++) {
		cpus[i].data.index = i;
		cpus[i].host.cs.selector = SEL_CODE;
		cpus[i].host.efer = EFER_LMA;
		cpus[i].host.cr3 = (u64)table[0];
	}
	cpus[0].data.state = CARETAKER_CPU_IN;
	release_init();
}

static long leaves(u32 cpu, u64 how)
{
	struct regs regs = { .rbx = how };
	long r = release(&cpus[cpu], &regs, 0);

	CHECK(cpus[cpu].data.released == !r && !leave_lock.owner);
	CHECK(cpus[cpu].data.state == (r ? CARETAKER_CPU_IN : CARETAKER_CPU_OUT));
	CHECK(cpus[cpu].data.counter[CARETAKER_C_HC_REFUSED] == !!r);
	return r;
}

static void nobody_resident(void)
{
	fresh();
	CHECK(!leaves(0, 0));
	fresh();
	cpus[2].data.state = CARETAKER_CPU_HALTED;
	cpus[3].data.state = CARETAKER_CPU_DEAD;
	CHECK(!leaves(0, 0));
}

/* The last CPU of the host's stays while there is a vCPU that only it could stop. */
static void last_one_stays(void)
{
	static const u32 states[] = {
		CARETAKER_CPU_HELD, CARETAKER_CPU_PARKED, CARETAKER_CPU_LEAVING,
	};
	u32 i;

	for (i = 0; i < 3; i++) {
		fresh();
		cpus[1].data.state = CARETAKER_CPU_IN;
		cpus[3].data.state = states[i];
		CHECK(!leaves(0, 0));
		CHECK(leaves(1, 0) == CARETAKER_EBUSY);
		cpus[1].data.counter[CARETAKER_C_HC_REFUSED] = 0;
		cpus[3].data.state = CARETAKER_CPU_HALTED;
		CHECK(!leaves(1, 0));
	}
}

/* A crash: the next kernel is not to be in guest mode, whatever becomes of the vCPU. */
static void abandoned(void)
{
	fresh();
	cpus[3].data.state = CARETAKER_CPU_HELD;
	CHECK(leaves(0, CARETAKER_ABANDON + 1) == CARETAKER_EBUSY);
	fresh();
	cpus[3].data.state = CARETAKER_CPU_HELD;
	CHECK(!leaves(0, CARETAKER_ABANDON));
}

static void unfit_host(void)
{
	fresh();
	table[1][1] |= PT_NX;
	CHECK(leaves(0, 0) == CARETAKER_EPERM);
	fresh();
	table[1][1] = 0 | PT_P | PT_LEAF;
	CHECK(leaves(0, 0) == CARETAKER_EPERM);
	fresh();
	cpus[0].data.ct_cr4 = CR4_LA57;
	CHECK(leaves(0, 0) == CARETAKER_EPERM);
	fresh();
	cpus[0].host.cs.selector = 0x33;
	CHECK(leaves(0, CARETAKER_ABANDON) == CARETAKER_EPERM);
}

static const struct test tests[] = {
	TEST(nobody_resident),
	TEST(last_one_stays),
	TEST(abandoned),
	TEST(unfit_host),
};

int main(void)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
