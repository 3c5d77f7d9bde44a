// SPDX-License-Identifier: GPL-2.0-only
/* May this become a resident vCPU, and on what VMCB? Pure: runs in tests. */
#include "../../include/asm/caretaker_abi.h"
#include "resident.h"

#define XCR0_FP		BIT(0)
#define XCR0_SSE	BIT(1)
#define XCR0_AVX	BIT(2)
#define XCR0_MPX	(BIT(3) | BIT(4))
#define XCR0_AVX512	(BIT(5) | BIT(6) | BIT(7))

#define XSAVE_MXCSR	24
#define XSAVE_COMP	520
#define XSAVE_REST	528
#define XSAVE_HEAD_END	576
#define MXCSR_KNOWN	0xffffu

#define SAVE_AT		0x400
#define SAVE_BYTES	0x300

static bool all_or_none(u64 value, u64 bits)
{
	return !(value & bits) || (value & bits) == bits;
}

/* Would XSETBV take this? It would be our fault if not. */
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

static u64 word(const u8 *at)
{
	u64 v = 0;
	u32 i;

	for (i = 8; i--;)
		v = v << 8 | at[i];
	return v;
}

/* Would XRSTOR? */
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

/* The counts, and what we would load. What VMRUN checks is left to it. */
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
	/* KVM keeps more of the FPU's state than the vCPU has switched on. */
	return xcr0_ok(v->xcr0, wide) && xsave_ok(v->xsave, wide);
}

/* May this be memory of a guest? Of none is the end of a list. */
bool run_ok(const struct limits *l, const struct caretaker_memory *run)
{
	u64 bytes = (run->pa & (PAGE - 1)) * PAGE;

	return bytes && !(run->gpa & (PAGE - 1)) && run->gpa < l->end &&
	       bytes <= l->end - run->gpa && page_ok(l, run->pa & ~(PAGE - 1), bytes);
}

/* All that could reach outside of the guest ends its run, and so does all that KVM emulates. */
void make_vmcb(struct vmcb *v, const struct caretaker_vcpu *from)
{
	u8 *to = (u8 *)v;
	u32 i;

	for (i = 0; i < PAGE; i++)
		to[i] = i >= SAVE_AT && i < SAVE_AT + SAVE_BYTES ? from->save[i] : 0;
	v->intercept[0] = I0_CR8_WRITE;
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

/* Those that VMLOAD and VMSAVE switch, and TSC_AUX, are its own. */
void lend_msrs(u8 *msrpm)
{
	static const struct {
		u16 at;
		u8 bits;
	} own[] = {
		{ 0x174 / 4, 0x3f },		/* SYSENTER_* */
		{ 0x800 + 0x80 / 4, 0xfc },	/* STAR, LSTAR, CSTAR */
		{ 0x800 + 0x84 / 4, 0x03 },	/* SFMASK */
		{ 0x800 + 0x100 / 4, 0x3f },	/* FS, GS and kernel GS base */
		{ 0x800 + 0x100 / 4, 0xc0 },	/* TSC_AUX */
	};
	u32 i;

	for (i = 0; i < 2 * PAGE; i++)
		msrpm[i] = 0xff;
	for (i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		msrpm[own[i].at] &= (u8)~own[i].bits;
}
