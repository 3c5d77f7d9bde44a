// SPDX-License-Identifier: GPL-2.0-only
/*
 * Made once, before any CPU enters: page tables, MSR permission map, descriptor
 * tables. Runs on Linux's page table, which maps the private memory only.
 */
#include "core.h"

struct globals g;

#define CR4_ROOT	(BIT(5) | BIT(6) | BIT(9))	/* PAE, MCE, OSFXSR */
#define PT_PAGES_MIN	16

/* An extended leaf of CPUID; zeroes if the processor has none of that number. */
static void cpuid_ext(u32 leaf, u32 out[4])
{
	u32 max[4];

	cpuid(0x80000000, 0, max);
	memset(out, 0, 4 * sizeof(*out));
	if (max[0] >= leaf)
		cpuid(leaf, 0, out);
}

static bool look_at_processor(void)
{
	u32 std0[4], std1[4], std7[4] = { 0 }, fn1[4], fn8[4], svm[4], fn1f[4], fn21[4];
	struct cpuid_bits id;

	cpuid(0, 0, std0);
	cpuid(1, 0, std1);
	if (std0[0] >= 7)
		cpuid(7, 0, std7);
	cpuid_ext(0x80000001, fn1);
	cpuid_ext(0x80000008, fn8);
	cpuid_ext(0x8000000a, svm);
	cpuid_ext(0x8000001f, fn1f);
	cpuid_ext(0x80000021, fn21);
	id = (struct cpuid_bits){
		.std1_ecx = std1[2], .std1_edx = std1[3], .std7_ebx = std7[1], .std7_ecx = std7[2],
		.fn1_ecx = fn1[2], .fn1_edx = fn1[3], .fn8_ebx = fn8[1],
		.svm_ebx = svm[1], .svm_edx = svm[3],
		.fn1f_eax = fn1f[0], .fn1f_ebx = fn1f[1], .fn21_eax = fn21[0],
	};
	if (!processor_ok(&id))
		return false;
	g.nrips = svm[3] & SVM_NRIPS;
	g.host_misc_ctl = host_misc_ctl(&id);
	g.encryption_bit = encryption_bit(&id);
	g.snp = fn1f[0] & FN1F_SNP;
	g.limits.svm_features = svm[3];
	g.limits.eraps = fn21[0] & BIT(24);
	g.limits.efer_known = efer_known(&id);
	g.limits.cr4_known = cr4_known(&id);
	g.limits.asids = svm[1];
	g.limits.host_asid = 1;
	return true;
}

/* All memory but the private one, not executable; and the image where it runs. */
static bool make_ct_table(struct pt *t, u64 end, u64 used)
{
	u64 text = text_end - image;
	u64 at;

	if (!pt_identity(t, end, g.limits.hole, PT_W | PT_NX))
		return false;
	for (at = 0; at < used; at += PAGE)
		if (!pt_map(t, g.p.va + at, g.p.pa + at, at < text ? 0 : PT_W | PT_NX, 1))
			return false;
	return true;
}

static bool make_tables(u64 used)
{
	struct hole hidden = g.limits.hole;
	u32 levels = paging_levels(READ("cr4"));
	u32 bits = levels == 4 && g.p.phys_bits > 48 ? 48 : g.p.phys_bits;
	u64 pages = (g.p.size - used) / PAGE / 2;
	struct pt npt, ct;
	u32 i;

	if (g.p.mutant & CARETAKER_MUTANT_OPEN)
		hidden.size = 0;
	pt_begin(&npt, (u8 *)g.p.va + used, g.p.pa + used, pages, levels);
	if (!pt_identity(&npt, BIT(bits), hidden, PT_W | PT_U) ||
	    !pt_is_identity(&npt, BIT(bits), hidden, PT_W | PT_U))
		return false;

	g.limits.end = BIT(levels == 4 && bits > 47 ? 47 : bits);	/* what is canonical */
	used += pages * PAGE;
	pt_begin(&ct, (u8 *)g.p.va + used, g.p.pa + used, pages, levels);
	if (!make_ct_table(&ct, g.limits.end, used - pages * PAGE))
		return false;

	g.npt_pa = npt.pa;
	for (i = 0; i < g.p.cpus; i++) {
		g.cpus[i].data.ct_cr3 = ct.pa;
		g.cpus[i].data.ct_cr4 = CR4_ROOT | (READ("cr4") & CR4_LA57);
	}
	return true;
}

/**
 * set_gate() - have a vector handled
 * @vector: exception or interrupt
 * @stub: handler, in assembly
 * @ist: stack of the TSS that it runs on; 0: the current one
 *
 * Context: init().
 */
void set_gate(u32 vector, const void *stub, u32 ist)
{
	u64 to = (u64)stub;

	g.idt[vector][0] = (to & 0xffff) | ((u64)SEL_CODE << 16) | ((u64)ist << 32) |
			   0x8e0000000000ULL | (to & 0xffff0000) << 32;
	g.idt[vector][1] = to >> 32;
}

static void make_idt(void)
{
	u32 i;

	for (i = 0; i < 32; i++)
		set_gate(i, vectors + i * 16, i == 2 || i == 8 || i == 18);	/* NMI, #DF, #MC */
}

/**
 * hypercall_register() - have a hypercall served
 * @number: CARETAKER_HC_*
 * @serve: its handler
 * @takes_page: whether the caller names a page
 *
 * Context: init().
 */
void hypercall_register(u32 number, hypercall_t serve, bool takes_page)
{
	g.hypercall[number] = (struct hypercall){ .serve = serve, .takes_page = takes_page };
}

/* What files registered with CT_INIT(). */
static void call_inits(void)
{
	const int *at;

	for (at = ct_init_start; at < ct_init_end; at++)
		((void (*)(void))((u64)at + (long)*at))();
}

static void make_shadows(struct cpu *c, u64 at)
{
	u32 i;

	for (i = 0; i < SHADOWS; i++) {
		pt_begin(&c->shadow[i].pt, (u8 *)g.p.va + at, g.p.pa + at,
			 SHADOW_BYTES / PAGE, paging_levels(READ("cr4")));
		at += SHADOW_BYTES;
	}
}

static void make_cpu(u32 index)
{
	struct cpu_memory *m = &g.cpus[index];
	struct cpu *c = &m->data;
	u64 tss = (u64)&c->tss;

	c->pa = g.p.pa + ((u64)m - g.p.va);
	c->index = index;
	memset(m->msrpm, 0xff, sizeof(m->msrpm));
	c->gdt[SEL_CODE / 8] = 0x00af9b000000ffffULL;
	c->gdt[SEL_DATA / 8] = 0x00cf93000000ffffULL;
	c->ct_gdtr = (struct table){ .limit = sizeof(c->gdt) - 1, .base = (u64)c->gdt };
	c->ct_idtr = (struct table){ .limit = sizeof(g.idt) - 1, .base = (u64)g.idt };
	c->tss.ist[0] = (u64)m + CPU_IST_TOP;
	c->tss.iopb = sizeof(c->tss);
	m->ct_state.tr = (struct seg){
		.selector = SEL_TSS, .attrib = 0x8b, .limit = sizeof(c->tss) - 1, .base = tss,
	};
	c->gdt[SEL_TSS / 8] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 |
			      0x8bULL << 40 | (tss >> 24 & 0xff) << 56;
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

/**
 * init() - prepare everything; called once by Linux, through the head of the image
 * @p: where the caretaker is, and for what host
 *
 * Return: 0, or CARETAKER_E* and nothing may be entered.
 */
long init(const struct caretaker_params *p)
{
	u64 used = ((u64)(image_end - image) + PAGE - 1) & ~(PAGE - 1);
	u64 shadows;
	u8 *msrpm;
	u32 i;

	if (p->abi != CARETAKER_ABI || !p->cpus || p->cpus > CARETAKER_MAX_CPUS)
		return CARETAKER_EINVAL;
	if (p->va != (u64)image || (p->pa | p->size) & (MIB(2) - 1) ||
	    p->window & (PAGE - 1) || p->phys_bits < 36 || p->phys_bits > 52 ||
	    overlap(p->window, sizeof(struct caretaker_window), p->pa, p->size))
		return CARETAKER_EINVAL;
	if (!look_at_processor())
		return CARETAKER_ENODEV;
	g.p = *p;
	g.limits.hole = (struct hole){ .start = p->pa, .size = p->size };
	g.host_window = (struct caretaker_window *)p->window;

	g.cpus = (struct cpu_memory *)(p->va + used);
	used += p->cpus * sizeof(struct cpu_memory);
	msrpm = (u8 *)p->va + used;
	g.msrpm_pa = p->pa + used;
	used += MSRPM_BYTES;
	memset((u8 *)p->va + used, 0xff, 3 * PAGE);
	g.iopm_pa = p->pa + used;
	used += 3 * PAGE;
	shadows = used;
	used += p->cpus * SHADOWS * SHADOW_BYTES;
	if (used + 2 * PT_PAGES_MIN * PAGE > p->size)
		return CARETAKER_ENOSPC;

	msrpm_host(msrpm);
	make_idt();
	call_inits();
	for (i = 0; i < p->cpus; i++) {
		make_cpu(i);
		make_shadows(&g.cpus[i].data, shadows + i * SHADOWS * SHADOW_BYTES);
	}
	return make_tables(used) ? 0 : CARETAKER_ENOSPC;
}
