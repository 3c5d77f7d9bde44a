// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pure parts of what runs resident vCPUs, in userspace: what they admit, on
 * which VMCB, and their local APIC. Prints KTAP; ends with 1 if a test failed:
 *
 *   gcc -I../../../arch/x86/caretaker/resident -fsanitize=address,undefined \
 *       resident.c ../../../arch/x86/caretaker/resident/{validate,vapic}.c \
 *       ../../../arch/x86/caretaker/core/check.c
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "../../../arch/x86/include/asm/caretaker_abi.h"
#undef NULL
#include "resident.h"

static const struct limits limits = {
	.hole = { .start = MIB(300), .size = MIB(4) },
	.end = GIB(1024), .host_asid = 1, .asids = 16, .efer_known = 0x1d01, .cr4_known = 0x7ff,
};

static _Alignas(4096) struct caretaker_vcpu vcpu;

static struct caretaker_vcpu *good(void)
{
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.magic = CARETAKER_MAGIC;
	vcpu.abi = CARETAKER_ABI;
	vcpu.lists = 2;
	vcpu.list[0] = MIB(1);
	vcpu.list[1] = MIB(2);
	vcpu.tsc_khz = vcpu.timer_khz = 1000000;
	vcpu.members = 1;
	vcpu.xcr0 = 7;
	vcpu.xsave[512] = 7;
	return &vcpu;
}

static void xcr0s(void)
{
	CHECK(xcr0_ok(1, 1) && xcr0_ok(3, 7) && xcr0_ok(7, 0x2ff) && xcr0_ok(0xe7, 0x2ff));
	CHECK(!xcr0_ok(0, 7));			/* without x87 */
	CHECK(!xcr0_ok(6, 7));
	CHECK(!xcr0_ok(7, 3));			/* more than the CPU has on */
	CHECK(!xcr0_ok(5, 7));			/* AVX without SSE */
	CHECK(!xcr0_ok(0x27, 0xff) && !xcr0_ok(0xe3, 0xff));	/* a part of AVX-512 */
	CHECK(!xcr0_ok(0xb, 0x1f) && xcr0_ok(0x1b, 0x1f));	/* a half of MPX */
}

static void xsaves(void)
{
	u8 *x = good()->xsave;

	CHECK(xsave_ok(x, 7));
	CHECK(!xsave_ok(x, 3));			/* state that XCR0 has not */
	x[520] = 1;
	CHECK(!xsave_ok(x, 7));			/* compacted */
	x[520] = 0;
	x[575] = 1;
	CHECK(!xsave_ok(x, 7));			/* reserved */
	x[575] = 0;
	x[26] = 1;
	CHECK(!xsave_ok(x, 7));			/* MXCSR, bit 16 */
}

static void vcpus(void)
{
	struct caretaker_vcpu *v = good();

	CHECK(vcpu_ok(&limits, v, 7));
	v->list[1] = MIB(301);
	CHECK(!vcpu_ok(&limits, v, 7));
	v->list[1] = 0x1001;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->lists = 0;
	CHECK(!vcpu_ok(&limits, v, 7));
	v->lists = CARETAKER_LISTS + 1;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->cpuids = CARETAKER_CPUIDS + 1;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->msrs = CARETAKER_MSRS + 1;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->timer_khz = 0;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->tsc_khz = 0;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->members = 0;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->tsc_aux = BIT(32);
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	v->abi++;
	CHECK(!vcpu_ok(&limits, v, 7));
	v = good();
	CHECK(!vcpu_ok(&limits, v, 3));
	v = good();
	v->xcr0 = 3;
	CHECK(vcpu_ok(&limits, v, 7));		/* KVM keeps more than the vCPU has on */
}

#define REGS_REFUSED(change) do {						\
	struct vmcb *s = (struct vmcb *)good()->save;			\
									\
	s->cr0 = 0x80000011;						\
	s->cr4 = 0x620;							\
	s->efer = 0xd01;						\
	CHECK(vcpu_ok(&limits, &vcpu, 7));				\
	change;								\
	CHECK(!vcpu_ok(&limits, &vcpu, 7));				\
} while (0)

/* What VMRUN would refuse is refused before KVM has let go of it. */
static void control_registers(void)
{
	struct vmcb *v = (struct vmcb *)good()->save;

	v->cr0 = 0x60000010;			/* as after a reset */
	CHECK(vcpu_ok(&limits, &vcpu, 7));
	REGS_REFUSED(s->cr0 |= BIT(32));
	REGS_REFUSED(s->cr0 |= BIT(29));		/* NW without CD */
	REGS_REFUSED(s->cr0 &= ~BIT(0));		/* paging without protection */
	REGS_REFUSED(s->cr4 |= BIT(20));		/* SMEP that the processor has not */
	REGS_REFUSED(s->cr4 |= BIT(40));
	REGS_REFUSED(s->cr4 &= ~BIT(5));		/* long mode without PAE */
	REGS_REFUSED(s->efer |= BIT(15));
	REGS_REFUSED(s->cr3 = GIB(1024));
	REGS_REFUSED(s->dr6 = BIT(32));
	REGS_REFUSED(s->dr7 = BIT(32));
	REGS_REFUSED(vcpu.event = 0x80000130);		/* an event of no type */
}

static bool timer_is_ok(u32 lvtt, u32 initial, u32 current)
{
	struct caretaker_vcpu *v = good();

	*(u32 *)(v->apic + 0x320) = lvtt;
	*(u32 *)(v->apic + 0x380) = initial;
	*(u32 *)(v->apic + 0x390) = current;
	CHECK(apic_timer_ok(v->apic) == vcpu_ok(&limits, v, 7));
	return vcpu_ok(&limits, v, 7);
}

static void timers(void)
{
	CHECK(timer_is_ok(0x400ec, 0, 0) && timer_is_ok(0x400ec, 1000, 500));	/* deadline */
	CHECK(timer_is_ok(0x100ec, 1000, 500) && timer_is_ok(0x300ec, 1000, 500));	/* masked */
	CHECK(timer_is_ok(0x000ec, 0, 0) && timer_is_ok(0x200ec, 0, 0));	/* not started */
	CHECK(timer_is_ok(0x000ec, 1000, 0));		/* one-shot, run out */
	CHECK(!timer_is_ok(0x000ec, 1000, 1));
	CHECK(!timer_is_ok(0x200ec, 1000, 1));
	CHECK(!timer_is_ok(0x200ec, 1000, 0));		/* periodic: starts again */
}

static bool run_is_ok(u64 gpa, u64 pa, u64 pages)
{
	struct caretaker_memory run = { .gpa = gpa, .pa = pa | pages };

	return run_ok(&limits, &run);
}

static void runs(void)
{
	CHECK(run_is_ok(0, MIB(1), 1) && run_is_ok(GIB(3), MIB(304), 4095));
	CHECK(!run_is_ok(0, MIB(1), 0));
	CHECK(!run_is_ok(0x800, MIB(1), 1));
	CHECK(!run_is_ok(0, MIB(300), 1));			/* ours */
	CHECK(!run_is_ok(0, MIB(300) - PAGE, 2));
	CHECK(run_is_ok(0, MIB(300) - PAGE, 1));
	CHECK(!run_is_ok(0, GIB(1024) - PAGE, 2));		/* no memory */
	CHECK(!run_is_ok(GIB(1024) - PAGE, MIB(1), 2));
	CHECK(!run_is_ok(~0ULL << 12, MIB(1), 2));
}

static void vmcb(void)
{
	static struct vmcb v;
	struct caretaker_vcpu *from = good();
	struct vmcb *said = (struct vmcb *)from->save;

	memset(from->save, 0xff, sizeof(from->save));
	from->save[0x4cb] = 3;
	said->efer = 0;
	from->gpr[0] = 11;
	from->gpr[4] = 44;
	from->event = 0x40;			/* not valid: none */
	make_vmcb(&v, from);
	CHECK(v.intercept[3] & I3_INTR && v.intercept[3] & I3_NMI && v.intercept[3] & I3_MSR);
	CHECK(v.intercept[3] & I3_IOIO && v.intercept[3] & I3_SHUTDOWN && v.intercept[3] & I3_HLT);
	CHECK((v.intercept[4] & 0x7f) == 0x7f && v.intercept[4] & I4_XSETBV);
	CHECK(v.intercept[0] == I0_CR8_WRITE && !v.intercept[1]);
	CHECK(v.intercept[2] == (1u << 1 | 1u << 17 | 1u << 18));	/* #DB, #AC, #MC */
	CHECK(v.int_ctl == INT_V_MASKING && v.misc_ctl == MISC_NP && !v.misc_ctl2);
	CHECK(!v.event_inj && !v.nested_cr3 && !v.msrpm_pa && !v.iopm_pa && !v.asid && !v.avic_bar);
	CHECK(v.efer == EFER_SVME && v.rax == 11 && v.rsp == 44 && v.cpl == 3);
	from->event = EVENT_INTR(0x40);
	make_vmcb(&v, from);
	CHECK(v.event_inj == EVENT_INTR(0x40));
}

static void msrs(void)
{
	static u8 map[2 * PAGE];
	u32 i, open = 0;

	lend_msrs(map);
	for (i = 0; i < sizeof(map); i++)
		open += 8 - (u32)__builtin_popcount(map[i]);
	CHECK(open == 2 * (3 + 4 + 4));			/* SYSENTER, STAR ..., bases and TSC_AUX */
	CHECK(map[0x800 / 4] == 0xff && map[0x830 / 4] == 0xff);	/* x2APIC */
	CHECK(map[0x800 + 0x80 / 4] == 0x03);		/* EFER is not lent, STAR is */
	CHECK(map[0x1000 + 0x117 / 4] == 0xff);		/* VM_HSAVE_PA */
}

static _Alignas(16) u8 apic[4096];

static void fresh(void)
{
	memset(apic, 0, sizeof(apic));
	CHECK(apic_write(apic, 0x80f, 0x1ff) == APIC_DONE);
}

static void priorities(void)
{
	fresh();
	CHECK(!apic_pending(apic));
	apic_raise(apic, 0x31);
	apic_raise(apic, 0xec);
	apic_raise(apic, 0xe0);
	CHECK(apic_pending(apic) == 0xec);
	apic_accept(apic, 0xec);
	CHECK(!apic_pending(apic));			/* 0xe0 is of the same class */
	CHECK(apic_write(apic, 0x80b, 0) == APIC_DONE);
	CHECK(apic_pending(apic) == 0xe0);
	CHECK(apic_write(apic, 0x808, 0xe0) == APIC_DONE);
	CHECK(!apic_pending(apic));
	CHECK(apic_write(apic, 0x808, 0xd0) == APIC_DONE);
	CHECK(apic_pending(apic) == 0xe0);
	apic_accept(apic, 0xe0);
	apic_raise(apic, 0xef);
	CHECK(!apic_pending(apic));			/* higher, but of the class in service */
	CHECK(apic_write(apic, 0x80b, 0) == APIC_DONE);
	CHECK(apic_pending(apic) == 0xef);
	apic_accept(apic, 0xef);
	CHECK(apic_write(apic, 0x80b, 0) == APIC_DONE);
	CHECK(!apic_pending(apic));			/* 0x31 is below the TPR */
	CHECK(apic_write(apic, 0x808, 0) == APIC_DONE);
	CHECK(apic_pending(apic) == 0x31);
	CHECK(apic_write(apic, 0x80f, 0xff) == APIC_DONE);	/* off */
	CHECK(!apic_pending(apic));
	CHECK(apic_write(apic, 0x80b, 1) == APIC_FAULT);
}

static void level_triggered(void)
{
	fresh();
	apic_raise(apic, 0x51);
	apic_accept(apic, 0x51);
	*(u32 *)(apic + 0x180 + 16 * (0x51 / 32)) |= 1u << (0x51 % 32);
	CHECK(apic_write(apic, 0x80b, 0) == APIC_PARK);	/* the IOAPIC has to be told */
	CHECK(*(u32 *)(apic + 0x100 + 16 * (0x51 / 32)));
}

static void timer(void)
{
	fresh();
	CHECK(!apic_by_deadline(apic));
	CHECK(apic_write(apic, 0x832, 0x000200ec) == APIC_PARK);	/* periodic */
	CHECK(apic_write(apic, 0x832, 0x000000ec) == APIC_PARK);	/* counts once */
	CHECK(apic_write(apic, 0x832, 0x000100ec) == APIC_DONE);	/* masked */
	CHECK(apic_write(apic, 0x832, 0x000400ec) == APIC_DONE);
	CHECK(apic_by_deadline(apic));
	CHECK(apic_timer(apic) && apic_pending(apic) == 0xec);
	fresh();
	CHECK(apic_write(apic, 0x832, 0x000500ec) == APIC_DONE);
	CHECK(!apic_timer(apic) && !apic_pending(apic));
	CHECK(apic_write(apic, 0x838, 0) == APIC_DONE);
	CHECK(apic_write(apic, 0x838, 1000) != APIC_DONE);
}

static bool is_for(u64 icr, u32 id, bool sender)
{
	fresh();
	*(u32 *)(apic + 0x20) = id;
	*(u32 *)(apic + 0xd0) = (id >> 4) << 16 | 1u << (id & 15);
	return ipi_is_for(apic, icr, sender);
}

static void ipis(void)
{
	u32 posted[8] = { 0, 1u << 15 };

	CHECK(ipi_ok(0xf2) && ipi_ok(0x000c00f2) && ipi_ok(0x8f2));
	CHECK(!ipi_ok(0x4f2) && !ipi_ok(0x5f2) && !ipi_ok(0x6f2) && !ipi_ok(15));
	CHECK(is_for(0x3000000f2ULL, 3, false) && !is_for(0x3000000f2ULL, 2, true));
	CHECK(is_for(0x000400f3, 3, true) && !is_for(0x000400f3, 3, false));	/* self */
	CHECK(is_for(0x000800f3, 3, true) && is_for(0x000800f3, 3, false));	/* all */
	CHECK(!is_for(0x000c00f3, 3, true) && is_for(0x000c00f3, 3, false));	/* all but self */
	CHECK(is_for(0xffffffff000000f2ULL, 3, false));
	CHECK(is_for(0x00000009000008f2ULL, 3, false));		/* logical: 0 and 3 of cluster 0 */
	CHECK(!is_for(0x00000009000008f2ULL, 1, false));
	CHECK(!is_for(0x00010009000008f2ULL, 3, false));	/* of cluster 1 */
	CHECK(is_for(0x00010009000008f2ULL, 0x13, false));
	fresh();
	*(u32 *)(apic + 0x180 + 16) = ~0u;
	apic_merge(apic, posted);
	CHECK(apic_pending(apic) == 47 && !posted[1] && *(u32 *)(apic + 0x190) == ~(1u << 15));
	apic_merge(apic, posted);
	CHECK(apic_pending(apic) == 47);
	fresh();
	CHECK(apic_write(apic, 0x83f, 0xf4) == APIC_DONE && apic_pending(apic) == 0xf4);
}

static void registers(void)
{
	/* None in x2APIC mode, but EOI and SELF_IPI, which cannot be read. */
	static const u32 reserved[] = { 0x800, 0x801, 0x809, 0x80b, 0x80c, 0x80e, 0x831, 0x83f };
	u32 msr, i, faults = 0;
	u64 value = 0;

	fresh();
	*(u32 *)(apic + 0x20) = 5;
	CHECK(apic_read(apic, 0x802, &value) == APIC_DONE && value == 5);
	CHECK(apic_write(apic, 0x802, 1) == APIC_PARK);
	CHECK(apic_read(apic, 0x839, &value) == APIC_PARK);		/* a count nobody has */
	CHECK(apic_write(apic, 0x837, 0x1ffffffffULL) == APIC_FAULT);
	CHECK(apic_write(apic, 0x836, 0x400) == APIC_DONE);
	CHECK(apic_read(apic, 0x836, &value) == APIC_DONE && value == 0x400);
	CHECK(apic_read(apic, 0x810, &value) == APIC_DONE && apic_read(apic, 0x827, &value) == APIC_DONE);
	for (msr = 0x800; msr <= 0x83f; msr++)
		faults += apic_read(apic, msr, &value) == APIC_FAULT;
	CHECK(faults == 64 - 41 - 1);				/* one parks */
	for (i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		CHECK(apic_read(apic, reserved[i], &value) == APIC_FAULT);
}

static u64 ppr(u32 tpr, u32 in_service)
{
	u64 value = ~0ULL;

	fresh();
	CHECK(apic_write(apic, 0x808, tpr) == APIC_DONE);
	if (in_service) {
		apic_raise(apic, in_service);
		apic_accept(apic, in_service);
	}
	CHECK(apic_read(apic, 0x80a, &value) == APIC_DONE);
	return value;
}

static void processor_priority(void)
{
	CHECK(ppr(0, 0) == 0 && ppr(0x3c, 0) == 0x3c && ppr(0, 0x51) == 0x50);
	CHECK(ppr(0x4f, 0x51) == 0x50 && ppr(0x53, 0x51) == 0x53 && ppr(0x62, 0x51) == 0x62);
}

static const struct test tests[] = {
	TEST(xcr0s),
	TEST(xsaves),
	TEST(vcpus),
	TEST(control_registers),
	TEST(timers),
	TEST(runs),
	TEST(vmcb),
	TEST(msrs),
	TEST(priorities),
	TEST(level_triggered),
	TEST(timer),
	TEST(ipis),
	TEST(registers),
	TEST(processor_priority),
};

int main(void)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
