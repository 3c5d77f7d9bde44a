// SPDX-License-Identifier: GPL-2.0-only
/* What the host asks for, and whether it may. Pure: runs in tests. */
#include "check.h"

#define IOPM_BYTES	(3 * PAGE)
#define MSRPM_BYTES	(2 * PAGE)

/*
 * May this VMCB be run? It is a private copy: nobody can change it after. What
 * the processor itself checks (control registers, segments) is left to it. It
 * may not name private memory, and must give the CPU back when the host has
 * an interrupt or an NMI to take, or if it tries SVM itself.
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

/*
 * The MSRs that KVM may give to a guest, each with 2 bits in the map: where they
 * are in it, and which bits. All of them the caretaker can live with.
 */
static const struct {
	u16 at;
	u8 bits;
} lendable[] = {
	{ 0x48 / 4, 0x0f },		/* SPEC_CTRL, PRED_CMD */
	{ 0xe7 / 4, 0x40 },		/* MPERF and */
	{ 0xe8 / 4, 0x01 },		/* APERF, to be read */
	{ 0x10b / 4, 0xc0 },		/* FLUSH_CMD */
	{ 0x174 / 4, 0x3f },		/* SYSENTER_* */
	{ 0x6a0 / 4, 0x33 },		/* U_CET, S_CET */
	{ 0x6a4 / 4, 0xff },		/* PL*_SSP */
	{ 0x6a8 / 4, 0x03 },		/* INT_SSP_TAB */
	{ 0xda0 / 4, 0x03 },		/* XSS */
	{ 0x800 + 0x80 / 4, 0xfc },	/* STAR, LSTAR, CSTAR */
	{ 0x800 + 0x84 / 4, 0x03 },	/* SFMASK */
	{ 0x800 + 0x100 / 4, 0xff },	/* FS, GS and kernel GS base, TSC_AUX */
};

/*
 * A guest runs on a map of ours, in which all else is always intercepted: the
 * host could edit its own at any time, and give away VM_HSAVE_PA.
 */
void msrpm_merge(u8 *ours, const u8 *hosts)
{
	u32 i;

	for (i = 0; i < sizeof(lendable) / sizeof(lendable[0]); i++)
		ours[lendable[i].at] = hosts[lendable[i].at] | (u8)~lendable[i].bits;
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

/*
 * An INIT would take a CPU out of the caretaker's hands, and a SIPI could
 * start it elsewhere. Only one named CPU that is out may get them: none by a
 * shorthand, a broadcast or a logical address, of which we do not know whom
 * they reach. Ordinary interrupts and NMIs are between the host's own CPUs.
 */
enum verdict icr_verdict(u64 icr, const u32 *owned, u32 n)
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

/* Would the processor take this write to EFER? */
bool efer_ok(u64 value, u64 now, bool paging)
{
	if (value & ~EFER_KNOWN)
		return false;
	if ((value ^ now) & EFER_LMA)
		return false;
	return !(paging && ((value ^ now) & EFER_LME));
}
