// SPDX-License-Identifier: GPL-2.0-only
/*
 * Made once, while Linux still is the master: page tables, permission map,
 * descriptor tables. Runs on Linux's page table, so only at our own addresses.
 */
#include "core.h"

struct globals g;

#define CR4_ROOT	(BIT(5) | BIT(6) | BIT(9))	/* PAE, MCE, OSFXSR */
#define MSRPM_BYTES	(2 * PAGE)
#define PT_PAGES_MIN	16

static bool processor_ok(void)
{
	u32 ext[4], svm[4];

	cpuid(0x80000001, 0, ext);
	cpuid(0x8000000a, 0, svm);
	if (!(ext[2] & BIT(2)) || !(ext[3] & BIT(26)))	/* SVM, 1 GiB pages */
		return false;
	if (!(svm[3] & BIT(0)) || svm[1] < 3)		/* nested paging, ASIDs */
		return false;
	g.nrips = svm[3] & BIT(3);
	g.limits.asids = svm[1];
	g.limits.host_asid = 1;
	return true;
}

/* What msr.c is to see; the map has 2 bits for each MSR. */
static void msrpm_watch(u8 *map, u32 msr, u32 bits)
{
	u32 at = msr >= 0xc0010000 ? 0x1000 * 4 + (msr - 0xc0010000) :
		 msr >= 0xc0000000 ? 0x800 * 4 + (msr - 0xc0000000) : msr;

	map[at / 4] |= bits << (at % 4 * 2);
}

static void make_msrpm(u8 *map)
{
	msrpm_watch(map, MSR_APIC_BASE, 2);	/* written */
	msrpm_watch(map, MSR_ICR, 2);
	msrpm_watch(map, MSR_EFER, 3);		/* read, too */
	msrpm_watch(map, MSR_VM_CR, 2);
	msrpm_watch(map, MSR_SMM_CTL, 2);
	msrpm_watch(map, MSR_VM_HSAVE_PA, 3);
}

/* Ours: all memory but the private one, no execution; and ourselves, where we run. */
static bool make_own_table(struct pt *t, u64 end, u64 used)
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
	u32 levels = READ("cr4") & CR4_LA57 ? 5 : 4;
	u32 bits = levels == 4 && g.p.phys_bits > 48 ? 48 : g.p.phys_bits;
	u64 pages = (g.p.size - used) / PAGE / 2;
	struct pt npt, own;
	u32 i;

	if (g.p.mutant & CARETAKER_MUTANT_OPEN)
		hidden.size = 0;
	pt_begin(&npt, (u8 *)g.p.va + used, g.p.pa + used, pages, levels);
	if (!pt_identity(&npt, BIT(bits), hidden, PT_W | PT_U) ||
	    !pt_is_identity(&npt, BIT(bits), hidden, PT_W | PT_U))
		return false;

	g.limits.end = BIT(levels == 4 && bits > 47 ? 47 : bits);	/* what is canonical */
	used += pages * PAGE;
	pt_begin(&own, (u8 *)g.p.va + used, g.p.pa + used, pages, levels);
	if (!make_own_table(&own, g.limits.end, used - pages * PAGE))
		return false;

	g.npt_pa = npt.pa;
	for (i = 0; i < g.p.cpus; i++) {
		g.cpus[i].data.cr3 = own.pa;
		g.cpus[i].data.cr4 = CR4_ROOT | (READ("cr4") & CR4_LA57);
	}
	return true;
}

static void make_idt(void)
{
	u64 to;
	u32 i;

	for (i = 0; i < 32; i++) {
		bool ist = i == 2 || i == 8 || i == 18;	/* NMI, #DF, #MC */

		to = (u64)vectors + i * 16;
		g.idt[i][0] = (to & 0xffff) | ((u64)SEL_CODE << 16) | ((u64)ist << 32) |
			      0x8e0000000000ULL | (to & 0xffff0000) << 32;
		g.idt[i][1] = to >> 32;
	}
	make_gates(g.idt);
}

static void make_shadows(struct cpu *c, u64 at)
{
	u32 i;

	for (i = 0; i < SHADOWS; i++) {
		pt_begin(&c->shadow[i].pt, (u8 *)g.p.va + at, g.p.pa + at,
			 SHADOW_BYTES / PAGE, READ("cr4") & CR4_LA57 ? 5 : 4);
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
	c->gdtr = (struct table){ .limit = sizeof(c->gdt) - 1, .base = (u64)c->gdt };
	c->idtr = (struct table){ .limit = sizeof(g.idt) - 1, .base = (u64)g.idt };
	c->tss.ist[0] = (u64)m + CPU_IST_TOP;
	c->tss.iopb = sizeof(c->tss);
	/* VMLOAD of the root page is what loads TR. */
	m->root.tr = (struct seg){
		.selector = SEL_TSS, .attrib = 0x8b, .limit = sizeof(c->tss) - 1, .base = tss,
	};
	c->gdt[SEL_TSS / 8] = (sizeof(c->tss) - 1) | (tss & 0xffffff) << 16 |
			      0x8bULL << 40 | (tss >> 24 & 0xff) << 56;
	c->gdt[SEL_TSS / 8 + 1] = tss >> 32;
}

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
	if (!processor_ok())
		return CARETAKER_ENODEV;
	g.p = *p;
	g.limits.hole = (struct hole){ .start = p->pa, .size = p->size };
	g.window = (struct caretaker_window *)p->window;

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

	make_msrpm(msrpm);
	make_idt();
	for (i = 0; i < p->cpus; i++) {
		make_cpu(i);
		make_shadows(&g.cpus[i].data, shadows + i * SHADOWS * SHADOW_BYTES);
	}
	return make_tables(used) ? 0 : CARETAKER_ENOSPC;
}
