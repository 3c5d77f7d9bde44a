/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * MSRs by name, and SVM's MSR permission map (AMD64 manual, volume 2, section
 * 15.11): 2 bits for each MSR, of which a set one intercepts the access.
 */
#ifndef CT_MSR_H
#define CT_MSR_H

#define MSR_APIC_BASE		0x1b
#define MSR_SPEC_CTRL		0x48
#define MSR_PRED_CMD		0x49
#define MSR_MPERF		0xe7
#define MSR_APERF		0xe8
#define MSR_FLUSH_CMD		0x10b
#define MSR_SYSENTER_CS		0x174
#define MSR_SYSENTER_ESP	0x175
#define MSR_SYSENTER_EIP	0x176
#define MSR_MTRR_BASE0		0x200	/* of 8 pairs */
#define MSR_MTRR_MASK7		0x20f
#define MSR_MTRR_64K		0x250
#define MSR_MTRR_16K_0		0x258
#define MSR_MTRR_16K_1		0x259
#define MSR_MTRR_4K_0		0x268
#define MSR_MTRR_4K_7		0x26f
#define MSR_PAT			0x277
#define MSR_MTRR_DEF_TYPE	0x2ff
#define MSR_U_CET		0x6a0
#define MSR_S_CET		0x6a2
#define MSR_PL0_SSP		0x6a4
#define MSR_PL1_SSP		0x6a5
#define MSR_PL2_SSP		0x6a6
#define MSR_PL3_SSP		0x6a7
#define MSR_INT_SSP_TAB		0x6a8
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_XSS			0xda0
#define MSR_KVM			0x4b564d00	/* the first of KVM's, */
#define MSR_KVM_LAST_PAGE	0x4b564d04	/* the last that has an address, */
#define MSR_KVM_LAST		0x4b564d08	/* and the last */
#define MSR_EFER		0xc0000080
#define MSR_STAR		0xc0000081
#define MSR_LSTAR		0xc0000082
#define MSR_CSTAR		0xc0000083
#define MSR_SFMASK		0xc0000084
#define MSR_FS_BASE		0xc0000100
#define MSR_GS_BASE		0xc0000101
#define MSR_KERNEL_GS_BASE	0xc0000102
#define MSR_TSC_AUX		0xc0000103
#define MSR_TSC_RATIO		0xc0000104
#define MSR_SMCA		0xc0002000	/* of 256 banks, 16 each */
#define MSR_SMCA_LAST		0xc0002fff
#define MSR_SYSCFG		0xc0010010
#define MSR_IORR_BASE0		0xc0010016
#define MSR_IORR_MASK0		0xc0010017
#define MSR_IORR_BASE1		0xc0010018
#define MSR_IORR_MASK1		0xc0010019
#define MSR_TOP_MEM		0xc001001a
#define MSR_TOP_MEM2		0xc001001d
#define MSR_SMBASE		0xc0010111
#define MSR_SMM_ADDR		0xc0010112
#define MSR_SMM_MASK		0xc0010113
#define MSR_VM_CR		0xc0010114
#define MSR_SMM_CTL		0xc0010116
#define MSR_VM_HSAVE_PA		0xc0010117

/* The local APIC in x2APIC mode. */
#define MSR_X2APIC		0x800	/* the first, */
#define MSR_X2APIC_ID		0x802
#define MSR_X2APIC_TPR		0x808
#define MSR_X2APIC_EOI		0x80b
#define MSR_X2APIC_SPIV		0x80f
#define MSR_X2APIC_ICR		0x830
#define MSR_X2APIC_LVTT		0x832
#define MSR_X2APIC_LVT_ERROR	0x837
#define MSR_X2APIC_TMICT	0x838
#define MSR_X2APIC_TDCR		0x83e
#define MSR_X2APIC_LAST		0x83f	/* and the last */

#define MSRPM_BYTES		(2 * PAGE)
#define MSRPM_READ		1
#define MSRPM_WRITE		2
#define MSRPM_BOTH		3

/* Where an MSR's bits are in the map. Each of the three ranges has 0x2000 MSRs. */
#define MSRPM_RANGE(msr, first, at)	((at) + ((msr) - (first)) / 4)
#define MSRPM_BYTE(msr)							\
	((msr) >= 0xc0010000 ? MSRPM_RANGE(msr, 0xc0010000, 0x1000) :	\
	 (msr) >= 0xc0000000 ? MSRPM_RANGE(msr, 0xc0000000, 0x800) :	\
			       MSRPM_RANGE(msr, 0, 0))
#define MSRPM_BITS(msr, accesses)	((accesses) << (msr) % 4 * 2)

#ifndef __ASSEMBLER__
#include "types.h"

/**
 * msr_in_map() - has the permission map bits for an MSR?
 * @msr: the MSR
 *
 * Return: false if each access to it is intercepted.
 */
static inline bool msr_in_map(u32 msr)
{
	return !(msr & ~0x1fffu) || (msr & ~0x1fffu) == 0xc0000000 ||
	       (msr & ~0x1fffu) == 0xc0010000;
}

/**
 * msrpm_watch() - have accesses to an MSR intercepted
 * @map: an MSR permission map, 2 pages
 * @msr: the MSR, in one of the map's three ranges
 * @accesses: MSRPM_READ, MSRPM_WRITE or both
 */
static inline void msrpm_watch(u8 *map, u32 msr, u32 accesses)
{
	map[MSRPM_BYTE(msr)] |= MSRPM_BITS(msr, accesses);
}

/**
 * msrpm_allow() - let a guest access an MSR directly
 * @map: an MSR permission map, 2 pages
 * @msr: the MSR, in one of the map's three ranges
 * @accesses: MSRPM_READ, MSRPM_WRITE or both
 */
static inline void msrpm_allow(u8 *map, u32 msr, u32 accesses)
{
	map[MSRPM_BYTE(msr)] &= (u8)~MSRPM_BITS(msr, accesses);
}

#endif /* !__ASSEMBLER__ */
#endif
