// SPDX-License-Identifier: GPL-2.0-only
/* What the host asks for, and whether it may. Pure: runs in userspace tests. */
#include "check.h"
#include "msr.h"

#define IOPM_BYTES	(3 * PAGE)

/* Bits that a field may have if the processor has a feature. */
static u64 if_has(const struct limits *l, u64 feature, u64 bits)
{
	return l->svm_features & feature ? bits : 0;
}

/* The guest must return the CPU for all that is the host's, or is not the guest's to do. */
static bool intercepts_ok(const struct limits *l, const struct vmcb *v)
{
	u64 i2 = I2_DB | I2_AC | I2_MC;
	u64 i3 = I3_INTR | I3_NMI | I3_SHUTDOWN | I3_MSR | I3_INVLPGA;
	u64 i4 = I4_VMRUN | I4_VMMCALL | I4_SKINIT;

	if (!(v->misc_ctl2 & if_has(l, SVM_VLS, MISC2_V_LOADSAVE)))
		i4 |= I4_VMLOAD | I4_VMSAVE;
	if (!(v->int_ctl & if_has(l, SVM_VGIF, INT_V_GIF_ON)))
		i4 |= I4_STGI | I4_CLGI;
	return (v->intercept[2] & i2) == i2 && (v->intercept[3] & i3) == i3 &&
	       (v->intercept[4] & i4) == i4;
}

static bool tlb_ctl_ok(const struct limits *l, u32 ctl)
{
	if (ctl & 0xff00 & ~(l->eraps ? ERAP_CTL : 0))
		return false;
	switch (ctl & ~0xff00u) {
	case TLB_NOTHING:
	case TLB_FLUSH_ALL:
		return true;
	case TLB_FLUSH_ASID:
	case TLB_FLUSH_ASID_LOCAL:
		return l->svm_features & SVM_FLUSH_ASID;
	default:
		return false;
	}
}

/**
 * event_ok() - may this be delivered at VMRUN?
 * @event: as in EVENTINJ (AMD64 manual, volume 2, 15.20)
 *
 * Return: true if it may, or if there is none in it.
 */
bool event_ok(u64 event)
{
	u32 type = EVENT_TYPE(event);

	return !(event & EVENT_VALID) || (!(event & EVENT_RESERVED) && type != 1 && type < 5);
}

/*
 * Each field that the processor reads, but for addresses, against what is known to be
 * harmless. What belongs to SEV or AVIC it does not read, as those are off.
 */
static bool controls_ok(const struct limits *l, const struct vmcb *v)
{
	u64 int_ctl = INT_V_TPR | INT_V_IRQ | INT_V_PRIO | INT_V_IGN_TPR | INT_V_MASKING |
		      if_has(l, SVM_VGIF, INT_V_GIF | INT_V_GIF_ON) |
		      if_has(l, SVM_VNMI, INT_V_NMI | INT_V_NMI_ON);
	u64 misc_ctl2 = if_has(l, SVM_LBRV, MISC2_V_LBR) | if_has(l, SVM_VLS, MISC2_V_LOADSAVE);
	u32 i, reserved = 0;

	for (i = 0; i < sizeof(v->r0) / sizeof(v->r0[0]); i++)
		reserved |= v->r0[i];
	if (reserved || (v->int_ctl & ~int_ctl) || !(v->int_ctl & INT_V_MASKING))
		return false;
	if (v->misc_ctl != MISC_NP || (v->misc_ctl2 & ~misc_ctl2))
		return false;
	if (v->int_vector >> 8 || (v->int_state & ~INT_STATE))
		return false;
	return tlb_ctl_ok(l, v->tlb_ctl) && event_ok(v->event_inj);
}

/**
 * vmcb_ok() - may this VMCB be run?
 * @l: limits
 * @v: private copy of the VMCB: nobody can change it after the check
 *
 * It may not name private memory or use a feature that is not known to be harmless,
 * or that the processor lacks (AMD64 manual, volume 2, appendix B), and must return the
 * CPU when the host has an interrupt or an NMI to take, or when the guest tries SVM
 * itself. What VMRUN checks (control registers, segments) is left to VMRUN.
 *
 * Return: true if it may be run.
 */
bool vmcb_ok(const struct limits *l, const struct vmcb *v)
{
	if (!intercepts_ok(l, v) || !controls_ok(l, v))
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
#define ICR_VECTOR(icr)		((icr) & 0xff)
#define MODE_FIXED		0
#define MODE_LOWEST		1
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
 * shorthand, a broadcast or a logical address does not say which CPUs it reaches. An
 * interrupt with the vector of an exception would be one to a CPU of the caretaker's.
 * Other interrupts and NMIs are between the host's own CPUs.
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
	if (mode == MODE_FIXED || mode == MODE_LOWEST)
		return ICR_VECTOR(icr) < FIRST_VECTOR ? ICR_REFUSE : ICR_SEND;
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

/**
 * efer_known() - find the bits of EFER that the processor has
 * @id: its CPUID
 *
 * AMD64 manual, volume 2, section 3.1.7, and volume 3, appendix E.
 *
 * Return: a mask.
 */
u64 efer_known(const struct cpuid_bits *id)
{
	u64 known = EFER_SVME;

	known |= id->fn1_edx & BIT(11) ? EFER_SCE : 0;
	known |= id->fn1_edx & BIT(20) ? EFER_NXE : 0;
	known |= id->fn1_edx & BIT(25) ? EFER_FFXSR : 0;
	known |= id->fn1_edx & BIT(29) ? EFER_LME | EFER_LMA : 0;
	known |= id->fn1_ecx & BIT(17) ? EFER_TCE : 0;
	known |= id->fn8_ebx & BIT(8) ? EFER_MCOMMIT : 0;
	known |= id->fn8_ebx & BIT(13) ? EFER_INTWB : 0;
	known |= id->fn21_eax & BIT(7) ? EFER_UAIE : 0;
	known |= id->fn21_eax & BIT(8) ? EFER_AIBRSE : 0;
	return known;
}

/**
 * processor_ok() - can a host be swallowed on this processor?
 * @id: its CPUID
 *
 * It needs SVM, leaves of 1 GiB, nested paging, and ASIDs for the host, a guest and a
 * resident. One that has INVLPGB must have the control that lets the host use it: the host
 * has found it in CPUID.
 *
 * Return: false if it cannot.
 */
bool processor_ok(const struct cpuid_bits *id)
{
	if (!(id->fn1_ecx & BIT(2)) || !(id->fn1_edx & BIT(26)))
		return false;
	if (!(id->svm_edx & SVM_NP) || id->svm_ebx < 3)
		return false;
	return !(id->fn8_ebx & FN8_INVLPGB) || (id->svm_edx & SVM_TLBICTL);
}

/**
 * host_misc_ctl() - find what the VMCB of the host has in 0x90 (appendix B)
 * @id: CPUID of the processor
 *
 * Return: nested paging; and INVLPGB and TLBSYNC, if the processor has them.
 */
u64 host_misc_ctl(const struct cpuid_bits *id)
{
	return MISC_NP | (id->fn8_ebx & FN8_INVLPGB ? MISC_INVLPGB : 0);
}

/**
 * encryption_bit() - find the bit of a page table's entry that encrypts memory
 * @id: CPUID of the processor
 *
 * AMD64 manual, volume 2, 7.10. It is an address's, which no table of the caretaker's maps.
 *
 * Return: a mask; 0 if the processor has none.
 */
u64 encryption_bit(const struct cpuid_bits *id)
{
	return id->fn1f_eax & BIT(0) ? BIT(id->fn1f_ebx & 63) : 0;
}

/**
 * cr4_known() - find the bits of CR4 that the processor has
 * @id: its CPUID
 *
 * AMD64 manual, volume 2, section 3.1.3.
 *
 * Return: a mask.
 */
u64 cr4_known(const struct cpuid_bits *id)
{
	static const struct {
		u8 leaf, feature, bit;
	} bits[] = {
		{ 0, 1, 0 }, { 0, 1, 1 }, { 0, 4, 2 }, { 0, 2, 3 }, { 0, 3, 4 }, { 0, 6, 5 },
		{ 0, 7, 6 }, { 0, 13, 7 }, { 0, 24, 9 }, { 0, 25, 10 },	/* VME to OSXMMEXCPT */
		{ 1, 17, 17 }, { 1, 26, 18 },				/* PCID, XSAVE */
		{ 2, 0, 16 }, { 2, 7, 20 }, { 2, 20, 21 },		/* FSGSBASE, SMEP, SMAP */
		{ 3, 2, 11 }, { 3, 16, 12 }, { 3, 3, 22 }, { 3, 7, 23 },	/* UMIP, LA57, PKU, CET */
	};
	const u32 leaves[] = { id->std1_edx, id->std1_ecx, id->std7_ebx, id->std7_ecx };
	u64 known = BIT(8);						/* PCE */
	u32 i;

	for (i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (leaves[bits[i].leaf] & BIT(bits[i].feature))
			known |= BIT(bits[i].bit);
	return known;
}

/**
 * efer_ok() - would the processor take this write to EFER?
 * @known: bits that it has
 * @value: what is written
 * @now: what EFER is
 * @paging: CR0.PG
 *
 * Return: false if it would be #GP.
 */
bool efer_ok(u64 known, u64 value, u64 now, bool paging)
{
	if (value & ~known)
		return false;
	if ((value ^ now) & EFER_LMA)
		return false;
	return !(paging && ((value ^ now) & EFER_LME));
}
