// SPDX-License-Identifier: GPL-2.0-only
/* Which MSRs the host may access, by table. Pure: runs in userspace tests. */
#include "check.h"
#include "msr.h"

/*
 * The numbers are sections of the AMD64 manual, volume 2. SMCA's and KVM's MSRs lie outside
 * of the permission map, so each access to them ends the host's run (15.11).
 */
static const struct {
	u32 first, last;
	u8 read, write;		/* enum msr_policy */
} rules[] = {
	/* With which the host could leave guest mode, or reset a CPU. */
	{ MSR_EFER, MSR_EFER, MSR_OWN, MSR_OWN },			/* 3.1.7 */
	{ MSR_VM_HSAVE_PA, MSR_VM_HSAVE_PA, MSR_OWN, MSR_OWN },		/* 15.30.4 */
	{ MSR_X2APIC_ICR, MSR_X2APIC_ICR, MSR_FREE, MSR_OWN },		/* 16.5 */
	{ MSR_APIC_BASE, MSR_APIC_BASE, MSR_FREE, MSR_SAME },		/* 16.3.1 */
	{ MSR_VM_CR, MSR_VM_CR, MSR_FREE, MSR_NEVER },			/* 15.30.1 */
	{ MSR_SMM_CTL, MSR_SMM_CTL, MSR_FREE, MSR_NEVER },		/* 15.30.3 */
	/* Which addresses are memory: SYSCFG, IORRs, tops of memory. */
	{ MSR_SYSCFG, MSR_SYSCFG, MSR_FREE, MSR_SAME },			/* 7.9, 7.10 */
	{ MSR_IORR_BASE0, MSR_IORR_MASK1, MSR_FREE, MSR_SAME },		/* 7.9 */
	{ MSR_TOP_MEM, MSR_TOP_MEM, MSR_FREE, MSR_SAME },		/* 7.9 */
	{ MSR_TOP_MEM2, MSR_TOP_MEM2, MSR_FREE, MSR_SAME },		/* 7.9 */
	/* Which of it is SMM's. */
	{ MSR_SMBASE, MSR_SMM_MASK, MSR_FREE, MSR_SAME },		/* 10.2 */
	/* How it is cached. Linux writes them on each CPU that comes online. */
	{ MSR_MTRR_BASE0, MSR_MTRR_MASK7, MSR_FREE, MSR_DROP },		/* 7.7 */
	{ MSR_MTRR_64K, MSR_MTRR_64K, MSR_FREE, MSR_DROP },		/* 7.7 */
	{ MSR_MTRR_16K_0, MSR_MTRR_16K_1, MSR_FREE, MSR_DROP },		/* 7.7 */
	{ MSR_MTRR_4K_0, MSR_MTRR_4K_7, MSR_FREE, MSR_DROP },		/* 7.7 */
	{ MSR_MTRR_DEF_TYPE, MSR_MTRR_DEF_TYPE, MSR_FREE, MSR_DROP },	/* 7.7 */
	/* Machine checks are the host's. */
	{ MSR_SMCA, MSR_SMCA_LAST, MSR_PASS, MSR_PASS },		/* 9.3 */
	/* Of KVM, if the host is a guest of KVM's: Documentation/virt/kvm/x86/msr.rst. */
	{ MSR_KVM, MSR_KVM_LAST_PAGE, MSR_PASS, MSR_PAGE },
	{ MSR_KVM_LAST_PAGE + 1, MSR_KVM_LAST, MSR_PASS, MSR_PASS },
};

#define RULES	(sizeof(rules) / sizeof(rules[0]))

/**
 * msr_policy() - find what becomes of an access of the host's
 * @msr: the MSR
 * @write: it is a write
 *
 * Return: MSR_FREE also of an MSR that is in the map and in no rule: the access does
 * not end the host's run.
 */
enum msr_policy msr_policy(u32 msr, bool write)
{
	u32 i;

	for (i = 0; i < RULES; i++)
		if (msr >= rules[i].first && msr <= rules[i].last)
			return write ? rules[i].write : rules[i].read;
	return msr_in_map(msr) ? MSR_FREE : MSR_NEVER;
}

/**
 * msrpm_host() - make the host's MSR permission map
 * @map: zeroed, 2 pages: gets the accesses that the caretaker looks at
 */
void msrpm_host(u8 *map)
{
	u32 i, msr;

	for (i = 0; i < RULES; i++) {
		for (msr = rules[i].first; msr <= rules[i].last && msr_in_map(msr); msr++) {
			if (rules[i].read != MSR_FREE)
				msrpm_watch(map, msr, MSRPM_READ);
			if (rules[i].write != MSR_FREE)
				msrpm_watch(map, msr, MSRPM_WRITE);
		}
	}
}

/**
 * msr_page_ok() - may the host have the hypervisor below it write there?
 * @l: limits
 * @value: of one of KVM's MSRs: an address, and flags in its low bits
 *
 * Return: false if what is there reaches into private memory.
 */
bool msr_page_ok(const struct limits *l, u64 value)
{
	u64 at = value & ~63ULL;

	return at < l->end && !overlap(at, 128, l->hole.start, l->hole.size);
}
