// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables. The nested one under the host and the caretaker's own have the
 * same form, and so have those that the caretaker keeps for guests. Pure: runs
 * in userspace tests.
 */
#include "npt.h"

static u32 shift(u32 level)
{
	return 12 + 9 * (level - 1);
}

static u64 *page_at(const struct pt *t, u64 pa)
{
	return (u64 *)(t->mem + (pa - t->pa));
}

static u64 *entry(u64 *table, u64 va, u32 level)
{
	return &table[(va >> shift(level)) & 511];
}

/**
 * pt_begin() - begin a page table
 * @t: the table
 * @mem: its memory, zeroed, as the caretaker sees it
 * @pa: physical address of @mem, and so of the table's root
 * @pages: size of @mem; the table takes pages from it as it grows
 * @levels: 4 or 5
 */
void pt_begin(struct pt *t, u8 *mem, u64 pa, u32 pages, u32 levels)
{
	t->mem = mem;
	t->pa = pa;
	t->pages = pages;
	t->used = 1;
	t->levels = levels;
}

/* Find the entry for an address at a level, and add what is missing above; NULL: no room. */
static u64 *reach(struct pt *t, u64 va, u32 level)
{
	u64 *table = page_at(t, t->pa);
	u64 *e;
	u32 at;

	for (at = t->levels; at > level; at--) {
		e = entry(table, va, at);
		if (!(*e & PT_P)) {
			if (t->used == t->pages)
				return NULL;
			*e = (t->pa + t->used++ * PAGE) | PT_P | PT_W | PT_U | PT_A;
		} else if (at <= 3 && (*e & PT_LEAF)) {
			return NULL;
		}
		table = page_at(t, *e & PT_ADDR);
	}
	return entry(table, va, level);
}

/**
 * pt_put() - set one leaf, whatever leaf is there
 * @t: the table
 * @va: address that is translated
 * @pa: where it leads
 * @flags: PT_W, PT_U, PT_NX
 * @level: 1: 4 KiB, 2: 2 MiB, 3: 1 GiB
 *
 * Return: false if an address is not aligned, a larger leaf or a table is in
 * the way, or the table's memory is used up.
 */
bool pt_put(struct pt *t, u64 va, u64 pa, u64 flags, u32 level)
{
	u64 *e;

	if ((va | pa) & (BIT(shift(level)) - 1))
		return false;
	e = reach(t, va, level);
	if (!e || (level > 1 && (*e & PT_P) && !(*e & PT_LEAF)))
		return false;
	*e = pa | flags | PT_P | PT_A | PT_D | (level > 1 ? PT_LEAF : 0);
	return true;
}

/**
 * pt_map() - set one leaf where there is none
 * @t: the table
 * @va: address that is translated
 * @pa: where it leads
 * @flags: PT_W, PT_U, PT_NX
 * @level: 1: 4 KiB, 2: 2 MiB, 3: 1 GiB
 *
 * Return: as pt_put(); also false if @va is mapped already.
 */
bool pt_map(struct pt *t, u64 va, u64 pa, u64 flags, u32 level)
{
	u64 *e = reach(t, va, level);

	return e && !(*e & PT_P) && pt_put(t, va, pa, flags, level);
}

/**
 * pt_identity() - map physical memory to itself, but for a hole
 * @t: an empty table
 * @end: of the memory; a multiple of 1 GiB
 * @hole: what is left out
 * @flags: PT_W, PT_U, PT_NX
 *
 * Return: false if the table's memory is used up.
 */
bool pt_identity(struct pt *t, u64 end, struct hole hole, u64 flags)
{
	u64 gib, pa;

	for (gib = 0; gib < end; gib += GIB(1)) {
		if (!overlap(gib, GIB(1), hole.start, hole.size)) {
			if (!pt_map(t, gib, gib, flags, 3))
				return false;
			continue;
		}
		for (pa = gib; pa < gib + GIB(1); pa += MIB(2))
			if (!overlap(pa, MIB(2), hole.start, hole.size) &&
			    !pt_map(t, pa, pa, flags, 2))
				return false;
	}
	return true;
}

/**
 * pt_lookup() - translate an address
 * @t: the table
 * @va: the address
 * @flags: PT_W, PT_U and PT_NX of the leaf; not set if there is none
 *
 * Return: where it leads, or PT_NONE.
 */
u64 pt_lookup(const struct pt *t, u64 va, u64 *flags)
{
	u64 *table = page_at(t, t->pa);
	u64 e, below;
	u32 at;

	for (at = t->levels; ; at--) {
		e = *entry(table, va, at);
		if (!(e & PT_P))
			return PT_NONE;
		if (at == 1 || (at <= 3 && (e & PT_LEAF)))
			break;
		table = page_at(t, e & PT_ADDR);
	}
	below = BIT(shift(at)) - 1;
	*flags = e & (PT_W | PT_U | PT_NX);
	return (e & PT_ADDR & ~below) | (va & below);
}

/**
 * pt_is_identity() - check what pt_identity() made
 * @t: the table
 * @end: of the memory; a multiple of 1 GiB
 * @hole: what has to be left out
 * @flags: that every leaf has to have
 *
 * Return: true if each address below @end is mapped as it has to be, and none above.
 */
bool pt_is_identity(const struct pt *t, u64 end, struct hole hole, u64 flags)
{
	u64 pa, step, to, got;

	for (pa = 0; pa < end; pa += step) {
		bool split = overlap(pa & ~(GIB(1) - 1), GIB(1), hole.start, hole.size);
		bool hidden = overlap(pa, MIB(2), hole.start, hole.size);

		step = split ? MIB(2) : GIB(1);
		to = pt_lookup(t, pa, &got);
		if (to != (hidden ? PT_NONE : pa))
			return false;
		if (!hidden && got != flags)
			return false;
		if (!hidden && pt_lookup(t, pa + step - 1, &got) != pa + step - 1)
			return false;
	}
	if (end >> shift(t->levels + 1))
		return true;	/* the table ends there too */
	return pt_lookup(t, end, &got) == PT_NONE;
}
