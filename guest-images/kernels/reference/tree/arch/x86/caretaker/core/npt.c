// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page tables: the nested one under the host and the caretaker's own have the
 * same form, and so have those that we own for guests. Pure: runs in tests.
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

void pt_begin(struct pt *t, u8 *mem, u64 pa, u32 pages, u32 levels)
{
	t->mem = mem;
	t->pa = pa;
	t->pages = pages;
	t->used = 1;
	t->levels = levels;
}

/* The entry for `va` at `level`, with what is needed above it; NULL if that cannot be. */
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

/* Set one page of `level` (1: 4 KiB, 2: 2 MiB, 3: 1 GiB); false if that cannot be. */
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

/* The same, where nothing is yet. */
bool pt_map(struct pt *t, u64 va, u64 pa, u64 flags, u32 level)
{
	u64 *e = reach(t, va, level);

	return e && !(*e & PT_P) && pt_put(t, va, pa, flags, level);
}

/* Map [0, end) to itself, but for the hole. `end` is a multiple of 1 GiB. */
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

/* Where `va` leads, or PT_NONE; and what the leaf allows. */
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

/* Is this what pt_identity() should have made, on all of [0, end)? */
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
