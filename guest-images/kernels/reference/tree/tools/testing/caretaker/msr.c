// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's accesses to MSRs, in userspace: what is served, refused or dropped. RDMSR and
 * WRMSR are #GP here, as they are of an MSR that a processor has not: the signal is made
 * into the exception that the caretaker would have, on its own vector. Prints KTAP; ends
 * with 1 if a test failed:
 *
 *   gcc -no-pie -I../../../arch/x86/caretaker/core -DCT_BUILD='"test"' -fsanitize=address,undefined \
 *       msr.c ../../../arch/x86/caretaker/core/{msr,msr_policy,check,insn}.c \
 *       ../../../arch/x86/caretaker/core/entry.S
 */
#define _GNU_SOURCE
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "harness.h"
#undef NULL
#include "core.h"

struct globals g;

static struct cpu_memory m;
static struct regs regs;
static u32 faults;

/* What entry.S calls, and is not called here. */
u8 text_end[1], image_end[1];
long init(const struct caretaker_params *p) { return p->abi; }
void *capture(u64 index, u64 rsp, u64 rip, u64 rflags) { return (void *)(index + rsp + rip + rflags); }
u32 host_exit(struct cpu_memory *of, struct regs *r) { return of && r; }

void root_trap(const u64 *at, u64 cr2)
{
	CHECK(!at && cr2);
}

void count(struct cpu *c, u32 which)
{
	c->counter[which]++;
}

void say(struct cpu *c, const char *what) { c->ask = !*what; }
void say_value(struct cpu *c, const char *name, u64 value) { c->ask = !*name + value; }
void say_end(struct cpu *c) { c->ask = 0; }

/* As the processor does: an aligned stack, SS to RIP, an error code; then the stub of #GP. */
static void deliver(int signal, siginfo_t *info, void *context)
{
	greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
	u64 *stack = (u64 *)(r[REG_RSP] & ~15ULL);

	faults += signal == SIGSEGV && info;
	*--stack = 0;
	*--stack = (u64)r[REG_RSP];
	*--stack = (u64)r[REG_EFL];
	*--stack = SEL_CODE;
	*--stack = (u64)r[REG_RIP];
	*--stack = 0;
	r[REG_RSP] = (greg_t)stack;
	r[REG_RIP] = (greg_t)(vectors + 13 * 16);
}

/* The host reads or writes an MSR. Is it served, and not #GP? */
static bool serves(u32 msr, u64 value, bool write)
{
	memset(&m, 0, sizeof(m));
	m.host.rip = 0x1000;
	m.host.rax = (u32)value;
	m.host.exit_info_1 = write;
	regs = (struct regs){ .rcx = msr, .rdx = value >> 32 };
	g.limits.hole = (struct hole){ .start = MIB(300), .size = MIB(4) };
	g.limits.end = GIB(1024);
	faults = 0;
	msr_exit(&m, &regs);
	CHECK(m.data.counter[CARETAKER_C_MSR] == 1);
	CHECK((m.host.rip == 0x1002) == !m.host.event_inj);
	CHECK(!m.host.event_inj || m.host.event_inj == EVENT_GP);
	return !m.host.event_inj;
}

/* An MSR that the processor has not is #GP for the host, and nothing worse. */
static void machine_checks(void)
{
	CHECK(!serves(0xc0002001, 0, false) && faults == 1);
	CHECK(!serves(0xc0002001, 5, true) && faults == 1);
	CHECK(m.data.counter[CARETAKER_C_MSR_REFUSED] == 1);
}

static void kvms(void)
{
	CHECK(!serves(0x4b564d01, 0x5001, true) && faults == 1);
	CHECK(!serves(0x4b564d01, MIB(301) | 1, true) && !faults);	/* not even tried */
	CHECK(!serves(0x4b564d05, MIB(301), true) && faults == 1);	/* no address */
	CHECK(!serves(0x4b564d03, 0, false) && faults == 1);
}

static void refused(void)
{
	CHECK(!serves(0xc0010114, 0, true) && !faults);
	CHECK(!serves(0x40000000, 0, false) && !faults);
	CHECK(!serves(0xc0010010, 0, true) && faults == 1);	/* it may be another value */
	CHECK(serves(0x2ff, 0, true) && faults == 1);		/* dropped, and counted */
	CHECK(m.data.counter[CARETAKER_C_MSR_REFUSED] == 1);
}

static void own(void)
{
	CHECK(serves(0xc0010117, MIB(8), true) && m.data.host_hsave_pa == MIB(8));
	CHECK(!serves(0xc0010117, MIB(301), true));
	CHECK(serves(0xc0010117, 0, false) && !m.host.rax && !regs.rdx && !faults);
	g.limits.efer_known = ~0ULL;
	CHECK(serves(0xc0000080, 0x1001, true) && m.host.efer == 0x1001 && m.data.host_svme);
}

static const struct test tests[] = {
	TEST(machine_checks),
	TEST(kvms),
	TEST(refused),
	TEST(own),
};

int main(void)
{
	static u8 stack[1 << 16];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof(stack) };
	struct sigaction gp = { .sa_sigaction = deliver, .sa_flags = SA_SIGINFO | SA_ONSTACK };

	sigaltstack(&other, (stack_t *)0);
	sigaction(SIGSEGV, &gp, (struct sigaction *)0);
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
