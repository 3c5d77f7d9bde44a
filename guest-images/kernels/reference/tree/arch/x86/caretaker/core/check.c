// SPDX-License-Identifier: GPL-2.0-only
/* What the host asks for, and whether it may. Pure: runs in userspace tests. */
#include "check.h"
#include "msr.h"

#define IOPM_BYTES	(3 * PAGE)

/**
 * vmcb_ok() - may this VMCB be run?
 * @l: limits
 * @v: private copy of the VMCB: nobody can change it after the check
 *
 * It may not name private memory, and must return the CPU when the host has an
 * interrupt or an NMI to take, or when the guest tries SVM itself. What VMRUN
 * checks (control registers, segments) is left to VMRUN.
 *
 * Return: true if it may be run.
 */
bool vmcb_ok(const struct limits *l, const struct vmcb *v)
{
	u64 i3 = I3_INTR | I3_NMI | I3_SHUTDOWN | I3_MSR | I3_INVLPGA;
	u64 i4 = I4_VMRUN | I4_VMMCALL | I4_SKINIT;

	if (!(v->misc_ctl2 & MISC2_V_LOADSAVE))
		i4 |= I4_VMLOAD | I4_VMSAVE;
	if (!(v->int_ctl & INT_V_GIF))
		i4 |= I4_STGI | I4_CLGI;

	if ((v->intercept[3] & i3) != i3 || (v->intercept[4] & i4) != i4)
		return false;
	if (!(v->int_ctl & INT_V_MASKING) || (v->int_ctl & INT_AVIC))
		return false;
	if (!(v->misc_ctl & MISC_NP) || (v->misc_ctl & MISC_SEV))
		return false;
	if (!v->asid || v->asid == l->host_asid || v->asid >= l->asids)
		return false;
	return page_ok(l, v->iopm_pa, IOPM_BYTES) && page_ok(l, v->msrpm_pa, MSRPM_BYTES) &&
	       page_ok(l, v->nested_cr3, PAGE);
}

#define LEND(msr, accesses)	{ MSRPM_BYTE(msr), MSRPM_BITS(msr, accesses) }

/* The MSRs that KVM may let its guests access: the caretaker depends on none of them. */
static const struct {
	u16 byte;
	u8 bits;
} lendable[] = {
	LEND(MSR_SPEC_CTRL, MSRPM_BOTH),
	LEND(MSR_PRED_CMD, MSRPM_BOTH),
	LEND(MSR_MPERF, MSRPM_READ),
	LEND(MSR_APERF, MSRPM_READ),
	LEND(MSR_FLUSH_CMD, MSRPM_BOTH),
	LEND(MSR_SYSENTER_CS, MSRPM_BOTH),
	LEND(MSR_SYSENTER_ESP, MSRPM_BOTH),
	LEND(MSR_SYSENTER_EIP, MSRPM_BOTH),
	LEND(MSR_U_CET, MSRPM_BOTH),
	LEND(MSR_S_CET, MSRPM_BOTH),
	LEND(MSR_PL0_SSP, MSRPM_BOTH),
	LEND(MSR_PL1_SSP, MSRPM_BOTH),
	LEND(MSR_PL2_SSP, MSRPM_BOTH),
	LEND(MSR_PL3_SSP, MSRPM_BOTH),
	LEND(MSR_INT_SSP_TAB, MSRPM_BOTH),
	LEND(MSR_XSS, MSRPM_BOTH),
	LEND(MSR_STAR, MSRPM_BOTH),
	LEND(MSR_LSTAR, MSRPM_BOTH),
	LEND(MSR_CSTAR, MSRPM_BOTH),
	LEND(MSR_SFMASK, MSRPM_BOTH),
	LEND(MSR_FS_BASE, MSRPM_BOTH),
	LEND(MSR_GS_BASE, MSRPM_BOTH),
	LEND(MSR_KERNEL_GS_BASE, MSRPM_BOTH),
	LEND(MSR_TSC_AUX, MSRPM_BOTH),
};

/**
 * msrpm_merge() - lend a guest what its host's MSR permission map allows
 * @ours: map that the guest runs on; all ones before the first merge
 * @hosts: the host's map, which the host can edit at any time
 *
 * Only the bits of MSRs that may be lent are taken over. All others stay
 * intercepted: the host's map could allow VM_HSAVE_PA.
 */
void msrpm_merge(u8 *ours, const u8 *hosts)
{
	u32 i;

	for (i = 0; i < sizeof(lendable) / sizeof(lendable[0]); i++) {
		u32 byte = lendable[i].byte, bits = lendable[i].bits;

		ours[byte] = (ours[byte] & ~bits) | (hosts[byte] & bits);
	}
}

#define ICR_MODE(icr)		(((icr) >> 8) & 7)
#define ICR_LOGICAL		BIT(11)
#define ICR_SHORTHAND(icr)	(((icr) >> 18) & 3)
#define ICR_RESERVED		(BIT(12) | BIT(13) | BIT(16) | BIT(17) | 0xfff00000ULL)
#define MODE_SMI		2
#define MODE_INIT		5
#define MODE_SIPI		6
#define INIT_DEASSERT(icr)	(!((icr) & BIT(14)) && ((icr) & BIT(15)))
#define SELF			1

/**
 * icr_check() - may the host send this IPI?
 * @icr: value that it writes to the x2APIC's ICR
 * @owned: APIC ids of the CPUs that the caretaker has, the sender's included
 * @n: how many these are
 *
 * An INIT would take a CPU from the caretaker, and a SIPI start it elsewhere. Only
 * one CPU that is named, and that the caretaker does not have, may get them: a
 * shorthand, a broadcast or a logical address does not say which CPUs it reaches.
 * Ordinary interrupts and NMIs are between the host's own CPUs.
 *
 * Return: ICR_SEND, ICR_REFUSE (drop it), or ICR_FAULT (reserved bits: #GP).
 */
enum icr_verdict icr_check(u64 icr, const u32 *owned, u32 n)
{
	u64 mode = ICR_MODE(icr);
	u32 to = icr >> 32;
	u32 i;

	if (icr & ICR_RESERVED)
		return ICR_FAULT;
	if (mode != MODE_INIT && mode != MODE_SIPI)
		return mode == MODE_SMI ? ICR_REFUSE : ICR_SEND;
	if (mode == MODE_INIT && INIT_DEASSERT(icr))
		return ICR_SEND;	/* does nothing on any processor with SVM */
	if (ICR_SHORTHAND(icr) || (icr & ICR_LOGICAL) || to == ~0u)
		return ICR_REFUSE;
	for (i = 0; i < n; i++)
		if (owned[i] == to)
			return ICR_REFUSE;
	return ICR_SEND;
}

#define EFER_KNOWN	(EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_SVME | \
			 BIT(14) | BIT(15) | BIT(17) | BIT(18) | BIT(20) | BIT(21))

/**
 * efer_ok() - would the processor take this write to EFER?
 * @value: what is written
 * @now: what EFER is
 * @paging: CR0.PG
 *
 * Return: false if it would be #GP.
 */
bool efer_ok(u64 value, u64 now, bool paging)
{
	if (value & ~EFER_KNOWN)
		return false;
	if ((value ^ now) & EFER_LMA)
		return false;
	return !(paging && ((value ^ now) & EFER_LME));
}
