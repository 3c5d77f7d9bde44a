// SPDX-License-Identifier: GPL-2.0-only
/*
 * The pure parts of the caretaker, in userspace. Prints KTAP; ends with 1 if a
 * test failed. Compile with the sanitizers:
 *
 *   gcc -I../../../arch/x86/caretaker/core -fsanitize=address,undefined \
 *       unit.c ../../../arch/x86/caretaker/core/{npt,check,msr_policy,shadow}.c
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#undef NULL
#include "layout.h"
#include "shadow.h"

#define TABLE_PA	MIB(300)

static struct pt table(u32 pages, u32 levels)
{
	struct pt t;

	pt_begin(&t, calloc(pages, PAGE), TABLE_PA, pages, levels);
	return t;
}

static void identity(u32 levels)
{
	struct hole hole = { .start = MIB(300), .size = MIB(4) };
	struct pt t = table(16, levels);
	u64 flags = 0;

	CHECK(pt_identity(&t, GIB(1024), hole, PT_W | PT_U));
	CHECK(pt_is_identity(&t, GIB(1024), hole, PT_W | PT_U));
	CHECK(t.used == (levels == 4 ? 4 : 5));	/* roots, 2 tables of GiBs, 1 of 2 MiBs */
	CHECK(pt_lookup(&t, 0, &flags) == 0 && flags == (PT_W | PT_U));
	CHECK(pt_lookup(&t, MIB(300) - 1, &flags) == MIB(300) - 1);
	CHECK(pt_lookup(&t, MIB(300), &flags) == PT_NONE);
	CHECK(pt_lookup(&t, MIB(302), &flags) == PT_NONE);
	CHECK(pt_lookup(&t, MIB(304) - 1, &flags) == PT_NONE);
	CHECK(pt_lookup(&t, MIB(304), &flags) == MIB(304));
	CHECK(pt_lookup(&t, GIB(1024) - 1, &flags) == GIB(1024) - 1);
	CHECK(pt_lookup(&t, GIB(1024), &flags) == PT_NONE);
	free(t.mem);
}

static void identity_4_levels(void)
{
	identity(4);
}

static void identity_5_levels(void)
{
	identity(5);
}

/* A hole that lies in two GiBs, and one that begins with one. */
static void identity_edges(void)
{
	struct hole holes[] = {
		{ .start = GIB(3) - MIB(2), .size = MIB(6) },
		{ .start = GIB(1), .size = MIB(2) },
		{ .start = 0, .size = 0 },
	};
	u64 flags;
	u32 i;

	for (i = 0; i < 3; i++) {
		struct pt t = table(8, 4);

		CHECK(pt_identity(&t, GIB(4), holes[i], PT_W));
		CHECK(pt_is_identity(&t, GIB(4), holes[i], PT_W));
		if (holes[i].size) {
			CHECK(pt_lookup(&t, holes[i].start, &flags) == PT_NONE);
			CHECK(pt_lookup(&t, holes[i].start + holes[i].size - 1, &flags) == PT_NONE);
			CHECK(!pt_is_identity(&t, GIB(4), holes[2], PT_W));
		}
		free(t.mem);
	}
}

/* The checker must not believe a table because the builder made it. */
static void checker_notices(void)
{
	struct hole hole = { .start = MIB(300), .size = MIB(4) };
	u32 what;

	for (what = 0; what < 5; what++) {
		struct pt t = table(16, 4);
		u64 *pdpt = (u64 *)(t.mem + PAGE);
		u64 *pd = (u64 *)(t.mem + 2 * PAGE);

		CHECK(pt_identity(&t, GIB(8), hole, PT_W | PT_U));
		CHECK(pt_is_identity(&t, GIB(8), hole, PT_W | PT_U));
		switch (what) {
		case 0:	/* the hole is mapped after all */
			pd[151] = MIB(302) | PT_P | PT_W | PT_U | PT_LEAF;
			break;
		case 1:	/* another address leads into it */
			pd[9] = MIB(300) | PT_P | PT_W | PT_U | PT_LEAF;
			break;
		case 2:	/* something is missing */
			pdpt[7] = 0;
			break;
		case 3:	/* too much is allowed */
			pdpt[6] &= ~PT_U;
			break;
		case 4:	/* and more is mapped than there is */
			pdpt[8] = GIB(8) | PT_P | PT_W | PT_U | PT_LEAF;
			break;
		}
		CHECK(!pt_is_identity(&t, GIB(8), hole, PT_W | PT_U));
		free(t.mem);
	}
}

static void map_refuses(void)
{
	struct pt t = table(4, 4);
	u64 flags;

	CHECK(!pt_map(&t, 0x1800, 0, PT_W, 1));
	CHECK(!pt_map(&t, MIB(1), MIB(1), PT_W, 2));
	CHECK(pt_map(&t, MIB(2), MIB(6), PT_W, 2));
	CHECK(!pt_map(&t, MIB(2), MIB(6), PT_W, 2));	/* is taken */
	CHECK(!pt_map(&t, MIB(2), MIB(6), PT_W, 1));	/* is in a larger one */
	CHECK(pt_lookup(&t, MIB(2) + 5, &flags) == MIB(6) + 5);
	CHECK(pt_map(&t, 0, MIB(8), PT_NX, 1));
	CHECK(pt_lookup(&t, 7, &flags) == MIB(8) + 7 && flags == PT_NX);
	CHECK(!pt_map(&t, GIB(1), 0, PT_W, 1));		/* no page left */
	free(t.mem);
}

static const u32 owned[] = { 0, 1, 7 };

static enum icr_verdict icr(u64 value)
{
	return icr_check(value, owned, 3);
}

static void icr_ordinary(void)
{
	CHECK(icr(0x1000000fdULL) == ICR_SEND);			/* fixed */
	CHECK(icr(0x100000400ULL) == ICR_SEND);			/* NMI */
	CHECK(icr(0x000c00fdULL) == ICR_SEND);			/* fixed, all but self */
	CHECK(icr(0x3000008fdULL) == ICR_SEND);			/* fixed, logical */
	CHECK(icr(0x100001400ULL) == ICR_FAULT);		/* reserved bits */
	CHECK(icr(0x1001000fdULL) == ICR_FAULT);
	CHECK(icr(0x100000200ULL) == ICR_REFUSE);		/* SMI */
	CHECK(icr(0x100000020ULL) == ICR_SEND);
	CHECK(icr(0x10000001fULL) == ICR_REFUSE);		/* an exception's vector */
	CHECK(icr(0x100004014ULL) == ICR_REFUSE);
	CHECK(icr(0x000c0010ULL) == ICR_REFUSE);
	CHECK(icr(0x300000810ULL) == ICR_REFUSE);
	CHECK(icr(0x100000110ULL) == ICR_REFUSE);		/* lowest priority */
	CHECK(icr(0x10000041fULL) == ICR_SEND);		/* an NMI has no vector */
}

static void icr_init_sipi(void)
{
	CHECK(icr(0x2000c500ULL | 0) == ICR_FAULT);		/* reserved bit 29 */
	CHECK(icr(0x10000c500ULL) == ICR_REFUSE);		/* INIT to 1 */
	CHECK(icr(0x100000500ULL) == ICR_REFUSE);		/* edge INIT to 1 */
	CHECK(icr(0x10000069aULL) == ICR_REFUSE);		/* SIPI to 1 */
	CHECK(icr(0x70000069aULL) == ICR_REFUSE);
	CHECK(icr(0x00000500ULL) == ICR_REFUSE);		/* INIT to 0 */
	CHECK(icr(0x200004500ULL) == ICR_SEND);			/* 2 is not ours */
	CHECK(icr(0x20000069aULL) == ICR_SEND);
	CHECK(icr(0x200004d00ULL) == ICR_REFUSE);		/* logical: who knows */
	CHECK(icr(0xffffffff00004500ULL) == ICR_REFUSE);	/* all */
	CHECK(icr(0x200044500ULL) == ICR_REFUSE);		/* self */
	CHECK(icr(0x200084500ULL) == ICR_REFUSE);		/* all */
	CHECK(icr(0x2000c4500ULL) == ICR_REFUSE);		/* all but self */
	CHECK(icr(0x2000c069aULL) == ICR_REFUSE);
	CHECK(icr(0x100008500ULL) == ICR_SEND);			/* de-assert: nothing */
	CHECK(icr_check(0x10000c500ULL, owned, 1) == ICR_SEND);
}

static struct limits limits = {
	.hole = { .start = MIB(300), .size = MIB(4) },
	.end = GIB(1024),
	.host_asid = 1,
	.asids = 16,
};

static void pages(void)
{
	CHECK(page_ok(&limits, 0, PAGE));
	CHECK(page_ok(&limits, MIB(300) - PAGE, PAGE));
	CHECK(!page_ok(&limits, MIB(300) - PAGE, 2 * PAGE));
	CHECK(!page_ok(&limits, MIB(300), PAGE));
	CHECK(!page_ok(&limits, MIB(304) - PAGE, PAGE));
	CHECK(page_ok(&limits, MIB(304), PAGE));
	CHECK(!page_ok(&limits, 0x1800, PAGE));
	CHECK(page_ok(&limits, GIB(1024) - PAGE, PAGE));
	CHECK(!page_ok(&limits, GIB(1024) - PAGE, 2 * PAGE));
	CHECK(!page_ok(&limits, GIB(1024), PAGE));
	CHECK(!page_ok(&limits, ~0ULL << 12, PAGE));
	CHECK(!page_ok(&limits, ~0ULL << 12, 2 * PAGE));
}

static struct vmcb good(void)
{
	struct vmcb v = {
		.intercept = { [2] = 0x60002, [3] = 0x94000003, [4] = 0x7f },
		.iopm_pa = MIB(10), .msrpm_pa = MIB(11), .nested_cr3 = MIB(12),
		.asid = 2, .int_ctl = INT_V_MASKING, .misc_ctl = MISC_NP,
	};

	return v;
}

#define REFUSED(change) do {			\
	struct vmcb v = good();			\
						\
	change;					\
	CHECK(!vmcb_ok(&limits, &v));		\
} while (0)

static void vmcbs(void)
{
	struct vmcb v = good();
	u32 bit;

	CHECK(vmcb_ok(&limits, &v));
	for (bit = 0; bit < 32; bit++) {
		if (good().intercept[2] & BIT(bit))
			REFUSED(v.intercept[2] &= ~BIT(bit));
		if (good().intercept[3] & BIT(bit))
			REFUSED(v.intercept[3] &= ~BIT(bit));
		if (good().intercept[4] & BIT(bit))
			REFUSED(v.intercept[4] &= ~BIT(bit));
	}
	REFUSED(v.asid = 0);
	REFUSED(v.asid = 1);
	REFUSED(v.asid = 16);
	REFUSED(v.int_ctl = 0);
	REFUSED(v.int_ctl |= BIT(31));
	REFUSED(v.int_ctl |= BIT(30));
	REFUSED(v.misc_ctl = 0);
	REFUSED(v.misc_ctl |= BIT(1));
	REFUSED(v.misc_ctl |= BIT(2));
	REFUSED(v.iopm_pa = MIB(300) - 2 * PAGE);	/* its third page is ours */
	REFUSED(v.msrpm_pa = MIB(300) - PAGE);
	REFUSED(v.nested_cr3 = MIB(303));
	REFUSED(v.nested_cr3 = GIB(1024));
}

/* Is the guest let have its own VMLOAD and VMSAVE, or CLGI and STGI? */
static bool own_ok(u64 features, u64 intercepts)
{
	struct vmcb v = good();
	bool ok;

	v.intercept[4] &= ~intercepts;
	if (intercepts & (I4_STGI | I4_CLGI))
		v.int_ctl |= INT_V_GIF_ON;
	if (intercepts & (I4_VMLOAD | I4_VMSAVE))
		v.misc_ctl2 |= MISC2_V_LOADSAVE;
	limits.svm_features = features;
	ok = vmcb_ok(&limits, &v);
	limits.svm_features = 0;
	return ok;
}

/* What an instruction does is virtualized by a bit only if the processor knows the bit. */
static void vmcb_features(void)
{
	CHECK(own_ok(SVM_VGIF, I4_STGI | I4_CLGI));
	CHECK(own_ok(SVM_VLS, I4_VMLOAD | I4_VMSAVE));
	CHECK(!own_ok(~SVM_VGIF, I4_STGI | I4_CLGI));
	CHECK(!own_ok(~SVM_VLS, I4_VMLOAD | I4_VMSAVE));
}

#define ALLOWED_BITS(field, width) ({					\
	u64 allowed_ = 0;						\
	u32 bit_;							\
									\
	for (bit_ = 0; bit_ < (width); bit_++) {			\
		struct vmcb v_ = good();				\
									\
		v_.field ^= BIT(bit_);					\
		if (vmcb_ok(&limits, &v_))				\
			allowed_ |= BIT(bit_);				\
	}								\
	allowed_; })

/* Bit by bit, on a processor that has nothing, and on one that has everything. */
static void vmcb_fields(void)
{
	u32 features[] = { 0, ~0u }, i, n;

	for (i = 0; i < 2; i++) {
		limits.svm_features = features[i];
		limits.eraps = i;
		CHECK(ALLOWED_BITS(int_ctl, 32) == (i ? 0x061f1bffULL : 0x001f01ffULL));
		CHECK(ALLOWED_BITS(misc_ctl, 64) == 0);
		CHECK(ALLOWED_BITS(misc_ctl2, 64) == (i ? 3 : 0));
		CHECK(ALLOWED_BITS(tlb_ctl, 32) == (i ? 0x301 : 1));
		CHECK(ALLOWED_BITS(int_vector, 32) == 0xff);
		CHECK(ALLOWED_BITS(int_state, 64) == 3);
		for (n = 0; n < 9; n++)
			CHECK(ALLOWED_BITS(r0[n], 32) == 0);
		CHECK(ALLOWED_BITS(intercept[5], 32) == 0xffffffff);
	}
	limits.svm_features = 0;
	limits.eraps = false;
	REFUSED(v.tlb_ctl = 3);
	REFUSED(v.tlb_ctl = 7);
	limits.svm_features = SVM_FLUSH_ASID;
	REFUSED(v.tlb_ctl = 2);
	CHECK(ALLOWED_BITS(tlb_ctl, 32) == 1);
	limits.svm_features = 0;
}

static bool event(u64 value)
{
	struct vmcb v = good();

	v.event_inj = value;
	return vmcb_ok(&limits, &v);
}

static void vmcb_events(void)
{
	CHECK(event(0x80000030) && event(0x80000202) && event(EVENT_GP) && event(0x80000480));
	CHECK(event(0x7fffffff));				/* not valid: not delivered */
	CHECK(!event(0x80000130) && !event(0x80000530) && !event(0x80000630) && !event(0x80000730));
	CHECK(!event(0x80001030) && !event(0xc0000030));	/* reserved */
}

static bool allowed(const u8 *map, u32 at, u32 msr)
{
	return !(map[at + msr / 4] >> (msr % 4 * 2) & 3);
}

/* Whatever the host's map says, the guest gets what may be lent, and no more. */
static void msrpms(void)
{
	static u8 ours[2 * PAGE], hosts[2 * PAGE];
	u32 msr, n = 0;

	memset(ours, 0xff, sizeof(ours));
	msrpm_merge(ours, hosts);		/* gives away everything */
	CHECK(allowed(ours, 0x800, 0x100) && allowed(ours, 0x800, 0x103));
	CHECK(allowed(ours, 0x800, 0x81) && allowed(ours, 0x800, 0x84));
	CHECK(allowed(ours, 0, 0x48) && allowed(ours, 0, 0x174) && allowed(ours, 0, 0x176));
	CHECK(!allowed(ours, 0, 0x1b) && !allowed(ours, 0, 0x830) && !allowed(ours, 0, 0x277));
	CHECK(!allowed(ours, 0x800, 0x80));	/* EFER */
	for (msr = 0; msr < 0x2000; msr++) {
		CHECK(!allowed(ours, 0x1000, msr));	/* VM_CR, VM_HSAVE_PA ... */
		n += allowed(ours, 0, msr) + allowed(ours, 0x800, msr);
	}
	CHECK(n == 22);
	memset(hosts, 0xff, sizeof(hosts));
	msrpm_merge(ours, hosts);		/* and takes it back */
	for (msr = 0; msr < sizeof(ours); msr++)
		CHECK(ours[msr] == 0xff);
}

/* What the host's writes to are looked at, and nothing else. */
static void host_msrpm(void)
{
	static const u32 written[] = {
		0x1b, 0x200, 0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, 0x208, 0x209, 0x20a,
		0x20b, 0x20c, 0x20d, 0x20e, 0x20f, 0x250, 0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b,
		0x26c, 0x26d, 0x26e, 0x26f, 0x2ff, 0x830, 0xc0000080, 0xc0010010, 0xc0010016,
		0xc0010017, 0xc0010018, 0xc0010019, 0xc001001a, 0xc001001d, 0xc0010111, 0xc0010112,
		0xc0010113, 0xc0010114, 0xc0010116, 0xc0010117,
	};
	static u8 map[2 * PAGE];
	u32 i, msr, at, n = 0, bits = 0;

	memset(map, 0, sizeof(map));
	msrpm_host(map);
	for (i = 0; i < sizeof(map); i++)
		bits += (u32)__builtin_popcount(map[i]);
	for (i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		msr = written[i];
		at = msr >> 16 == 0xc001 ? 0x1000 : msr >> 16 == 0xc000 ? 0x800 : 0;
		n += map[at + (msr & 0xffff) / 4] >> (msr % 4 * 2 + 1) & 1;
	}
	CHECK(n == i && bits == i + 2);			/* EFER and VM_HSAVE_PA are read, too */
}

/* The map has no bits for these, so the host is not let down to them by accident. */
static void host_msrs(void)
{
	u32 msr;

	CHECK(msr_policy(0x10, false) == MSR_FREE && msr_policy(0x10, true) == MSR_FREE);
	CHECK(msr_policy(0xc0000080, false) == MSR_OWN && msr_policy(0x830, true) == MSR_OWN);
	CHECK(msr_policy(0xc0010117, true) == MSR_OWN && msr_policy(0xc0010117, false) == MSR_OWN);
	CHECK(msr_policy(0x1b, true) == MSR_SAME && msr_policy(0xc0010010, true) == MSR_SAME);
	CHECK(msr_policy(0xc0010114, true) == MSR_NEVER && msr_policy(0xc0010116, true) == MSR_NEVER);
	CHECK(msr_policy(0x2ff, true) == MSR_DROP && msr_policy(0x277, true) == MSR_FREE);
	CHECK(msr_policy(0x2ff, false) == MSR_FREE && msr_policy(0xfe, true) == MSR_FREE);
	for (msr = 0xc0002000; msr < 0xc0003000; msr++)		/* machine checks */
		CHECK(msr_policy(msr, false) == MSR_PASS && msr_policy(msr, true) == MSR_PASS);
	CHECK(msr_policy(0xc0003000, false) == MSR_NEVER);
	CHECK(msr_policy(0x2000, false) == MSR_NEVER && msr_policy(0xc0012000, true) == MSR_NEVER);
	CHECK(msr_policy(0x1fff, false) == MSR_FREE && msr_policy(0xc0011fff, true) == MSR_FREE);
	for (msr = 0x4b564d00; msr < 0x4b564d09; msr++) {	/* KVM's below the host */
		CHECK(msr_policy(msr, false) == MSR_PASS);
		CHECK(msr_policy(msr, true) == (msr < 0x4b564d05 ? MSR_PAGE : MSR_PASS));
	}
	CHECK(msr_policy(0x4b564d09, true) == MSR_NEVER && msr_policy(0x40000000, false) == MSR_NEVER);
}

static void host_msr_pages(void)
{
	CHECK(msr_page_ok(&limits, 0) && msr_page_ok(&limits, 0x5041));
	CHECK(msr_page_ok(&limits, MIB(300) - 128) && !msr_page_ok(&limits, MIB(300) - 64));
	CHECK(!msr_page_ok(&limits, MIB(300) | 1) && !msr_page_ok(&limits, MIB(304) - 1));
	CHECK(msr_page_ok(&limits, MIB(304)));
	CHECK(!msr_page_ok(&limits, GIB(1024)) && !msr_page_ok(&limits, ~0ULL));
}

static const struct cpuid_bits zen = {
	.fn1_ecx = 1u << 2, .fn1_edx = 1u << 26, .svm_ebx = 0x8000, .svm_edx = SVM_NP,
};

static void processors(void)
{
	struct cpuid_bits id = zen;

	CHECK(processor_ok(&id) && host_misc_ctl(&id) == 1 && !encryption_bit(&id));
	id.fn8_ebx = 1u << 3;		/* INVLPGB that the host could not use */
	CHECK(!processor_ok(&id));
	id.svm_edx |= 1u << 24;
	CHECK(processor_ok(&id) && host_misc_ctl(&id) == 0x81);
	id.fn8_ebx = 0;
	CHECK(processor_ok(&id) && host_misc_ctl(&id) == 1);
	id = zen;
	id.fn1_ecx = 0;
	CHECK(!processor_ok(&id));
	id = zen;
	id.fn1_edx = 0;
	CHECK(!processor_ok(&id));
	id = zen;
	id.svm_edx = (u32)~SVM_NP;
	CHECK(!processor_ok(&id));
	id = zen;
	id.svm_ebx = 2;
	CHECK(!processor_ok(&id));
	id = zen;
	id.fn1f_ebx = 51;
	CHECK(!encryption_bit(&id));
	id.fn1f_eax = 1;
	CHECK(encryption_bit(&id) == BIT(51));
}

static void efers(void)
{
	u64 known = 0x1d01;

	CHECK(efer_ok(known, 0xd01, 0x1d01, true));
	CHECK(efer_ok(known, 0x1d01, 0xd01, true));
	CHECK(!efer_ok(known, 0xd01 | BIT(40), 0xd01, true));
	CHECK(!efer_ok(known, 0xd01 | BIT(15), 0xd01, true));	/* TCE, on one without */
	CHECK(efer_ok(known | BIT(15), 0xd01 | BIT(15), 0xd01, true));
	CHECK(!efer_ok(known, 0x901, 0xd01, true));		/* LMA is not written */
	CHECK(!efer_ok(known, 0xc01, 0xd01, true));		/* LME, while paging */
	CHECK(efer_ok(known, 0x801, 0x901, false));
}

/* Each bit of EFER needs its bit of CPUID, and no other. */
static void efer_features(void)
{
	static const struct {
		struct cpuid_bits id;
		u64 bits;
	} one[] = {
		{ { .fn1_edx = 1u << 11 }, 0x1 },
		{ { .fn1_edx = 1u << 20 }, 0x800 },
		{ { .fn1_edx = 1u << 25 }, 1u << 14 },
		{ { .fn1_edx = 1u << 29 }, 0x500 },
		{ { .fn1_ecx = 1u << 17 }, 1u << 15 },
		{ { .fn8_ebx = 1u << 8 }, 1u << 17 },
		{ { .fn8_ebx = 1u << 13 }, 1u << 18 },
		{ { .fn21_eax = 1u << 7 }, 1u << 20 },
		{ { .fn21_eax = 1u << 8 }, 1u << 21 },
	};
	struct cpuid_bits all = { .fn1_ecx = ~0u, .fn1_edx = ~0u, .fn8_ebx = ~0u, .fn21_eax = ~0u };
	u32 i;

	for (i = 0; i < sizeof(one) / sizeof(one[0]); i++)
		CHECK(efer_known(&one[i].id) == (one[i].bits | EFER_SVME));
	CHECK(efer_known(&all) == 0x36dd01);
}

/* Each bit of CR4 needs its bit of CPUID, and no other. */
static void cr4_features(void)
{
	struct cpuid_bits all = { .std1_ecx = ~0u, .std1_edx = ~0u, .std7_ebx = ~0u, .std7_ecx = ~0u };
	struct cpuid_bits none = { 0 }, one = { 0 };

	CHECK(cr4_known(&none) == 0x100);
	CHECK(cr4_known(&all) == 0xf71fff);
	one.std7_ecx = 1u << 16;
	CHECK(cr4_known(&one) == (CR4_LA57 | 0x100));
	one = (struct cpuid_bits){ .std1_ecx = 1u << 17 };
	CHECK(cr4_known(&one) == 0x20100);
	one = (struct cpuid_bits){ .std1_edx = 1u << 6 };
	CHECK(cr4_known(&one) == 0x120);
	one = (struct cpuid_bits){ .std7_ebx = 1u << 20 };
	CHECK(cr4_known(&one) == 0x200100);
}

/* A guest of the host's: its table at 64 KiB of "memory", ours beside it. */
struct guest {
	u8 *memory;
	struct pt host;
	struct shadow s;
};

#define HOST_TABLE	0x10000
#define HOST_PAGES	12

static struct guest guest_of(u32 pages, u32 levels, u32 host_levels)
{
	struct guest g = { .memory = calloc(64, PAGE) };

	pt_begin(&g.host, g.memory + HOST_TABLE, HOST_TABLE, HOST_PAGES, host_levels);
	g.s.pt = table(pages, levels);
	g.s.cr3 = HOST_TABLE;
	g.s.levels = host_levels;
	return g;
}

static struct guest guest(u32 pages)
{
	return guest_of(pages, 4, 4);
}

static void bye(struct guest *g)
{
	free(g->memory);
	free(g->s.pt.mem);
}

static u64 *host_entry(struct guest *g, u64 gpa, u32 level)
{
	u64 at = HOST_TABLE;
	u32 l;

	for (l = 4; ; l--) {
		u64 *e = (u64 *)(g->memory + at) + (gpa >> (12 + 9 * (l - 1)) & 511);

		if (l == level)
			return e;
		at = *e & PT_ADDR;
	}
}

static enum fill fill(struct guest *g, u64 gpa, u64 *error)
{
	limits.host_map = (u64)g->memory;
	return shadow_fill(&g->s, &limits, gpa, error);
}

static void shadow_follows(void)
{
	struct guest g = guest(16);
	u64 error = PF_U, flags = 0;

	CHECK(pt_map(&g.host, 0x5000, 0x9000, PT_W | PT_U, 1));
	*host_entry(&g, 0x5000, 1) &= ~(PT_A | PT_D);
	CHECK(fill(&g, 0x5123, &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, 0x5123, &flags) == 0x9123);
	CHECK(!(flags & PT_W));			/* until it is written */
	CHECK((*host_entry(&g, 0x5000, 1) & (PT_A | PT_D)) == PT_A);
	CHECK(*host_entry(&g, 0x5000, 2) & PT_A);
	error = PF_U | PF_W;
	CHECK(fill(&g, 0x5123, &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, 0x5123, &flags) == 0x9123 && (flags & PT_W));
	CHECK(*host_entry(&g, 0x5000, 1) & PT_D);
	CHECK(pt_lookup(&g.s.pt, 0x6000, &flags) == PT_NONE);

	CHECK(pt_map(&g.host, MIB(2), MIB(8), PT_W | PT_U, 2));
	error = PF_U;
	CHECK(fill(&g, MIB(3), &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, MIB(3) + 1, &flags) == MIB(9) + 1);
	shadow_drop(&g.s);
	CHECK(pt_lookup(&g.s.pt, MIB(3), &flags) == PT_NONE && g.s.pt.used == 1);
	CHECK(pt_lookup(&g.s.pt, 0x5000, &flags) == PT_NONE);
	bye(&g);
}

/* What the host's table forbids, its host hears of, with the error that it expects. */
static void shadow_leaves_to_host(void)
{
	struct guest g = guest(16);
	u64 error;

	error = PF_U | PF_W | PF_P;
	CHECK(fill(&g, 0x5000, &error) == FILL_HOSTS && error == (PF_U | PF_W));
	CHECK(pt_map(&g.host, 0x5000, 0x9000, PT_U, 1));
	error = PF_U | PF_W;
	CHECK(fill(&g, 0x5000, &error) == FILL_HOSTS && error == (PF_U | PF_W | PF_P));
	CHECK(pt_map(&g.host, 0x6000, 0x9000, PT_W | PT_U | PT_NX, 1));
	error = PF_U | PF_I;
	CHECK(fill(&g, 0x6000, &error) == FILL_HOSTS && error == (PF_U | PF_I | PF_P));
	CHECK(pt_map(&g.host, 0x7000, 0x9000, PT_W, 1));
	error = PF_U;
	CHECK(fill(&g, 0x7000, &error) == FILL_HOSTS);
	CHECK(pt_map(&g.host, 0x8000, 0x9000, PT_W | PT_U, 1));
	*host_entry(&g, 0x8000, 1) |= BIT(51);		/* how KVM marks MMIO */
	error = PF_U;
	CHECK(fill(&g, 0x8000, &error) == FILL_HOSTS && error == (PF_U | PF_P | PF_RSVD));
	*host_entry(&g, 0x5000, 2) &= ~PT_W;		/* a right is lost on the way */
	*host_entry(&g, 0x5000, 1) |= PT_W;
	error = PF_U | PF_W;
	CHECK(fill(&g, 0x5000, &error) == FILL_HOSTS);
	bye(&g);
}

static void shadow_keeps_private(void)
{
	struct guest g = guest(16);
	u64 error = PF_U, flags;

	CHECK(pt_map(&g.host, 0x5000, MIB(300), PT_W | PT_U, 1));
	CHECK(fill(&g, 0x5000, &error) == FILL_BAD);
	CHECK(pt_map(&g.host, 0x6000, MIB(304) - PAGE, PT_W | PT_U, 1));
	CHECK(fill(&g, 0x6000, &error) == FILL_BAD);
	CHECK(pt_map(&g.host, MIB(4), MIB(302), PT_W | PT_U, 2));
	CHECK(fill(&g, MIB(4), &error) == FILL_BAD);
	CHECK(pt_map(&g.host, GIB(1), 0, PT_W | PT_U, 3));	/* the hole is inside */
	CHECK(fill(&g, GIB(1), &error) == FILL_BAD);
	*host_entry(&g, GIB(2), 3) = MIB(300) | PT_P | PT_W | PT_U;	/* a table of ours */
	CHECK(fill(&g, GIB(2), &error) == FILL_BAD);
	g.s.cr3 = MIB(300);
	CHECK(fill(&g, 0x5000, &error) == FILL_BAD);
	CHECK(pt_lookup(&g.s.pt, 0x5000, &flags) == PT_NONE);
	bye(&g);
}

/*
 * The host's table has another depth than the caretaker's: it is walked by its own. With one
 * level too many, the last table would be a page of the guest's.
 */
static void shadow_depths(void)
{
	struct guest g = guest_of(16, 5, 4);
	u64 error = PF_U, flags;

	CHECK(pt_map(&g.host, 0, 0x20000, PT_W | PT_U, 1));
	((u64 *)(g.memory + 0x20000))[7] = 0x30000 | PT_P | PT_W | PT_U;	/* by the guest */
	CHECK(fill(&g, 0x7000, &error) == FILL_HOSTS);
	CHECK(pt_lookup(&g.s.pt, 0x7000, &flags) == PT_NONE);
	error = PF_U;
	CHECK(fill(&g, 0x123, &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, 0x123, &flags) == 0x20123);
	error = PF_U | PF_P;
	CHECK(fill(&g, BIT(48), &error) == FILL_HOSTS && error == PF_U);
	bye(&g);

	g = guest_of(16, 4, 5);
	error = PF_U;
	CHECK(pt_map(&g.host, 0x5000, 0x9000, PT_W | PT_U, 1));
	CHECK(fill(&g, 0x5123, &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, 0x5123, &flags) == 0x9123);
	bye(&g);
}

static void shadow_full(void)
{
	struct guest g = guest(4);
	u64 error = PF_U, flags;

	CHECK(pt_map(&g.host, 0x5000, 0x9000, PT_W | PT_U, 1));
	CHECK(pt_map(&g.host, MIB(2), 0x9000, PT_W | PT_U, 1));
	CHECK(fill(&g, 0x5000, &error) == FILL_DONE);
	CHECK(fill(&g, MIB(2), &error) == FILL_FULL);
	shadow_drop(&g.s);
	CHECK(fill(&g, MIB(2), &error) == FILL_DONE);
	CHECK(pt_lookup(&g.s.pt, MIB(2), &flags) == 0x9000);
	bye(&g);
}

static const struct test tests[] = {
	TEST(identity_4_levels),
	TEST(identity_5_levels),
	TEST(identity_edges),
	TEST(checker_notices),
	TEST(map_refuses),
	TEST(icr_ordinary),
	TEST(icr_init_sipi),
	TEST(pages),
	TEST(vmcbs),
	TEST(vmcb_features),
	TEST(vmcb_fields),
	TEST(vmcb_events),
	TEST(msrpms),
	TEST(host_msrpm),
	TEST(host_msrs),
	TEST(host_msr_pages),
	TEST(processors),
	TEST(efers),
	TEST(efer_features),
	TEST(cr4_features),
	TEST(shadow_follows),
	TEST(shadow_leaves_to_host),
	TEST(shadow_keeps_private),
	TEST(shadow_depths),
	TEST(shadow_full),
};

int main(void)
{
	return run_tests(tests, sizeof(tests) / sizeof(tests[0]));
}
