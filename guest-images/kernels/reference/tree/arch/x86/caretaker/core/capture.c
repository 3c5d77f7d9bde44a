// SPDX-License-Identifier: GPL-2.0-only
/*
 * A CPU enters: its state becomes the VMCB from which Linux resumes. Runs on
 * Linux's stack and page table, with interrupts off.
 */
#include "core.h"

#define APIC_ENABLED	(BIT(10) | BIT(11))	/* and in x2APIC mode */
#define VM_CR_SVMDIS	BIT(4)
#define SYSCFG_SNP_EN	BIT(24)
#define HOST_ASID	1

#define SELECTOR(reg) ({ u16 v_; asm volatile("mov %%" reg ", %0" : "=r"(v_)); v_; })

/* What the processor knows of a selector, in the VMCB's form. */
static struct seg segment(u16 selector)
{
	struct seg s = { .selector = selector };
	u32 rights, limit;
	bool ok;

	asm volatile("lar %3, %1\n\tsetz %0\n\tlsl %3, %2"
		     : "=q"(ok), "=r"(rights), "=r"(limit) : "r"((u32)selector) : "cc");
	if ((selector & ~3) && ok) {
		s.attrib = (rights >> 8 & 0xff) | (rights >> 12 & 0xf00);
		s.limit = limit;
	}
	return s;
}

static void tables(struct vmcb *v)
{
	struct table t;

	asm volatile("sgdt %0" : "=m"(*(u8 (*)[10])&t.limit));
	v->gdtr.base = t.base;
	v->gdtr.limit = t.limit;
	asm volatile("sidt %0" : "=m"(*(u8 (*)[10])&t.limit));
	v->idtr.base = t.base;
	v->idtr.limit = t.limit;
}

static void controls(struct vmcb *v)
{
	v->intercept[3] = I3_INVD | I3_INVLPGA | I3_MSR | I3_SHUTDOWN;
	v->intercept[4] = I4_VMRUN | I4_VMMCALL | I4_VMLOAD | I4_VMSAVE |
			  I4_STGI | I4_CLGI | I4_SKINIT;
	v->msrpm_pa = g.msrpm_pa;
	v->asid = HOST_ASID;
	v->tlb_ctl = TLB_FLUSH_ALL;
	v->misc_ctl = g.host_misc_ctl;
	v->nested_cr3 = g.npt_pa;
}

/*
 * The host's addresses must be those of memory; and the caretaker, who has no RMP, must be
 * let write to all of it.
 */
static bool plain_memory(void)
{
	if (READ("cr3") & g.encryption_bit)
		return false;
	return !g.snp || !(rdmsr(MSR_SYSCFG) & SYSCFG_SNP_EN);
}

static bool ready(struct cpu_memory *m)
{
	if (!is_native(m->data.state) || !plain_memory())
		return false;
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS)
		return false;
	if ((rdmsr(MSR_APIC_BASE) & APIC_ENABLED) != APIC_ENABLED)
		return false;
	return SELECTOR("cs") == SEL_CODE && !((READ("cr4") ^ m->data.ct_cr4) & CR4_LA57);
}

/**
 * capture() - put the state of this CPU into the host's VMCB; called by entry.S
 * @index: of this CPU
 * @rsp: with which Linux resumes
 * @rip: with which Linux resumes
 * @rflags: with which Linux resumes
 *
 * Context: Linux's, with interrupts off.
 * Return: memory of this CPU; or CARETAKER_E*, and nothing has changed.
 */
void *capture(u64 index, u64 rsp, u64 rip, u64 rflags)
{
	struct cpu_memory *m = &g.cpus[index];
	struct vmcb *v = &m->host;
	u64 efer = rdmsr(MSR_EFER);
	u16 ss = SELECTOR("ss");

	if (index >= g.p.cpus)
		return (void *)CARETAKER_EINVAL;
	if (!ready(m))
		return (void *)CARETAKER_ENODEV;
	m->data.host_svme = efer & EFER_SVME;
	m->data.host_hsave_pa = rdmsr(MSR_VM_HSAVE_PA);
	m->data.apic_id = rdmsr(MSR_X2APIC_ID);
	m->data.released = false;
	m->data.state = CARETAKER_CPU_IN;

	memset(v, 0, sizeof(*v));
	controls(v);
	v->cs = segment(SEL_CODE);
	v->ss = segment(ss & ~3 ? ss : SEL_DATA);
	v->ds = segment(SELECTOR("ds"));
	v->es = segment(SELECTOR("es"));
	tables(v);
	v->cr0 = READ("cr0");
	v->cr2 = READ("cr2");
	v->cr3 = READ("cr3");
	v->cr4 = READ("cr4");
	v->dr6 = READ("db6");
	v->dr7 = READ("db7");
	v->efer = efer | EFER_SVME;
	v->g_pat = rdmsr(MSR_PAT);
	v->rflags = rflags;
	v->rip = rip;
	v->rsp = rsp;

	wrmsr(MSR_EFER, efer | EFER_SVME | EFER_NXE);
	asm volatile("vmsave %%rax" : : "a"(m->data.pa + CPU_HOST) : "memory");
	return m;
}
