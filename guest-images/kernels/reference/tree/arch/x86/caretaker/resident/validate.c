// SPDX-License-Identifier: GPL-2.0-only
/* What may become a resident vCPU, and on which VMCB. Pure: runs in userspace tests. */
#include "../../include/asm/caretaker_abi.h"
#include "../core/msr.h"
#include "resident.h"

#define XCR0_FP		BIT(0)
#define XCR0_SSE	BIT(1)
#define XCR0_AVX	BIT(2)
#define XCR0_MPX	(BIT(3) | BIT(4))
#define XCR0_AVX512	(BIT(5) | BIT(6) | BIT(7))

#define CR0_PE		BIT(0)
#define CR0_NW		BIT(29)
#define CR0_CD		BIT(30)
#define CR0_PG		BIT(31)
#define CR4_PAE		BIT(5)

#define XSAVE_MXCSR	24
#define XSAVE_COMP	520
#define XSAVE_REST	528
#define XSAVE_HEAD_END	576
#define MXCSR_KNOWN	0xffffu


static bool all_or_none(u64 value, u64 bits)
{
	return !(value & bits) || (value & bits) == bits;
}

/**
 * xcr0_ok() - would XSETBV take this?
 * @xcr0: value of XCR0
 * @wide: what the CPU has in XCR0
 *
 * Return: false if it would be #GP, in the caretaker.
 */
bool xcr0_ok(u64 xcr0, u64 wide)
{
	if (!(xcr0 & XCR0_FP) || (xcr0 & ~wide))
		return false;
	if ((xcr0 & XCR0_AVX) && !(xcr0 & XCR0_SSE))
		return false;
	if ((xcr0 & XCR0_AVX512) && !(xcr0 & XCR0_AVX))
		return false;
	return all_or_none(xcr0, XCR0_MPX) && all_or_none(xcr0, XCR0_AVX512);
}

/* 8 bytes, little endian, at any address. */
static u64 word(const u8 *at)
{
	u64 v = 0;
	u32 i;

	for (i = 8; i--;)
		v = v << 8 | at[i];
	return v;
}

/**
 * xsave_ok() - would XRSTOR take this?
 * @image: an XSAVE image in standard form
 * @xcr0: XCR0 when it is loaded
 *
 * Return: false if it would be #GP, in the caretaker.
 */
bool xsave_ok(const u8 *image, u64 xcr0)
{
	u32 i;

	if ((word(image + XSAVE_MXCSR) & 0xffffffff) & ~(u64)MXCSR_KNOWN)
		return false;
	if ((word(image + XSAVE_BV) & ~xcr0) || word(image + XSAVE_COMP))
		return false;
	for (i = XSAVE_REST; i < XSAVE_HEAD_END; i++)
		if (image[i])
			return false;
	return true;
}

/**
 * save_ok() - would VMRUN take these registers?
 * @l: limits
 * @save: a page of which the save area of a VMCB counts
 *
 * What VMRUN checks of control registers (AMD64 manual, volume 2, 15.5.1), so that a vCPU
 * is refused while KVM still has it. Segments are left to VMRUN.
 *
 * Return: false if it would refuse them.
 */
bool save_ok(const struct limits *l, const u8 *save)
{
	const struct vmcb *v = (const struct vmcb *)save;
	bool enabled = v->cr0 & CR0_PG && v->efer & EFER_LME;

	if (v->cr0 >> 32 || (v->cr0 & (CR0_CD | CR0_NW)) == CR0_NW)
		return false;
	if ((v->cr0 & (CR0_PG | CR0_PE)) == CR0_PG || (enabled && !(v->cr4 & CR4_PAE)))
		return false;
	if (v->cr4 & ~l->cr4_known || v->efer & ~l->efer_known)
		return false;
	return v->cr3 < l->end && !(v->dr6 >> 32) && !(v->dr7 >> 32);
}

/**
 * vcpu_ok() - may this become a resident vCPU?
 * @l: limits
 * @v: private copy of it
 * @wide: XCR0 of the CPU
 *
 * Counts, addresses, and what the caretaker loads itself, or VMRUN would refuse.
 *
 * Return: true if it may.
 */
bool vcpu_ok(const struct limits *l, const struct caretaker_vcpu *v, u64 wide)
{
	u32 i;

	if (v->magic != CARETAKER_MAGIC || v->abi != CARETAKER_ABI)
		return false;
	if (!v->lists || v->lists > CARETAKER_LISTS || v->cpuids > CARETAKER_CPUIDS ||
	    v->msrs > CARETAKER_MSRS)
		return false;
	for (i = 0; i < v->lists; i++)
		if (!page_ok(l, v->list[i], PAGE))
			return false;
	if (!v->members || v->members > CARETAKER_MAX_CPUS)
		return false;
	if (!v->tsc_khz || !v->timer_khz || v->tsc_aux >> 32)
		return false;
	if (!apic_timer_ok(v->apic) || !event_ok(v->event) || !save_ok(l, v->save))
		return false;
	/* KVM keeps more of the FPU's state than the vCPU has switched on. */
	return xcr0_ok(v->xcr0, wide) && xsave_ok(v->xsave, wide);
}

/**
 * run_ok() - may this be memory of a guest?
 * @l: limits
 * @run: private copy of a run
 *
 * Return: true if it may; false also for an empty one.
 */
bool run_ok(const struct limits *l, const struct caretaker_memory *run)
{
	u64 bytes = (run->pa & (PAGE - 1)) * PAGE;

	return bytes && !(run->gpa & (PAGE - 1)) && run->gpa < l->end &&
	       bytes <= l->end - run->gpa && page_ok(l, run->pa & ~(PAGE - 1), bytes);
}

/**
 * make_vmcb() - make the VMCB of a resident vCPU
 * @v: the VMCB; the caller adds the physical addresses and the ASID
 * @from: what came with the vCPU: the save area is its own, the controls are not
 *
 * Whatever reaches outside of the guest, or is emulated by KVM, ends its run.
 */
void make_vmcb(struct vmcb *v, const struct caretaker_vcpu *from)
{
	u8 *to = (u8 *)v;
	u32 i;

	for (i = 0; i < PAGE; i++)
		to[i] = i >= VMCB_SAVE_AT && i < VMCB_SAVE_AT + VMCB_SAVE_BYTES ? from->save[i] : 0;
	v->intercept[0] = I0_CR8_WRITE;
	v->intercept[2] = I2_DB | I2_AC | I2_MC;
	v->intercept[3] = I3_INTR | I3_NMI | I3_RDPMC | I3_CPUID | I3_RSM | I3_INVD | I3_HLT |
			  I3_INVLPGA | I3_IOIO | I3_MSR | I3_TASK_SWITCH | I3_SHUTDOWN;
	v->intercept[4] = I4_VMRUN | I4_VMMCALL | I4_VMLOAD | I4_VMSAVE | I4_STGI | I4_CLGI |
			  I4_SKINIT | I4_MONITOR | I4_MWAIT | I4_XSETBV;
	v->tsc_offset = from->tsc_offset;
	v->int_ctl = INT_V_MASKING;
	v->int_state = from->int_state & 1;
	v->misc_ctl = MISC_NP;
	v->event_inj = from->event & EVENT_VALID ? from->event : 0;
	v->efer |= EFER_SVME;
	v->rax = from->gpr[0];
	v->rsp = from->gpr[4];
}

/* What VMLOAD and VMSAVE switch, and TSC_AUX, which the caretaker switches. */
static const u32 own_msrs[] = {
	MSR_SYSENTER_CS, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,
	MSR_STAR, MSR_LSTAR, MSR_CSTAR, MSR_SFMASK,
	MSR_FS_BASE, MSR_GS_BASE, MSR_KERNEL_GS_BASE, MSR_TSC_AUX,
};

/**
 * lend_msrs() - make the MSR permission map of a resident vCPU
 * @msrpm: the map: all is intercepted but the MSRs that are the vCPU's own
 */
void lend_msrs(u8 *msrpm)
{
	u32 i;

	for (i = 0; i < MSRPM_BYTES; i++)
		msrpm[i] = 0xff;
	for (i = 0; i < sizeof(own_msrs) / sizeof(own_msrs[0]); i++)
		msrpm_allow(msrpm, own_msrs[i], MSRPM_BOTH);
}
