// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested tables that we own. The host can edit its own at any time, also while
 * the guest runs: so the guest does not run on them. Pure: runs in tests.
 */
#include "shadow.h"

#define PT_LOW_RIGHTS	(PT_W | PT_U)
#define PT_RESERVED	0x7ff0000000000000ULL	/* but NX; more depends on the processor */

static u32 shift(u32 level)
{
	return 12 + 9 * (level - 1);
}

void shadow_drop(struct shadow *s)
{
	u64 *at = (u64 *)s->pt.mem;
	u64 n = s->pt.used * PAGE / sizeof(*at);

	while (n--)
		*at++ = 0;
	s->pt.used = 1;
	s->asid = 0;
	s->since = 0;
	s->error = 0;
}

/* An entry of the host's, as the processor would have left it; false if it changed. */
static bool mark(u64 *e, u64 seen, u64 bits)
{
	if ((seen & bits) == bits)
		return true;
	return __atomic_compare_exchange_n(e, &seen, seen | bits, false,
					   __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
}

static bool reserved(const struct limits *l, u64 e, u32 level)
{
	if ((e & PT_RESERVED) || (e & PT_ADDR) >= l->end)
		return true;
	return level > 3 ? e & PT_LEAF :
	       level > 1 && (e & PT_LEAF) && (e & PT_ADDR & (BIT(shift(level)) - 1) & ~BIT(12));
}

static bool denied(u64 rights, u64 error)
{
	return !(rights & PT_U) || ((error & PF_W) && !(rights & PT_W)) ||
	       ((error & PF_I) && (rights & PT_NX));
}

/*
 * Put in what the host's table says of `gpa`. `memory` is where we see physical
 * address 0. `error` is the processor's, and becomes what it would have been
 * on the host's table. An entry that changes under us is read again.
 */
enum fill shadow_fill(struct shadow *s, const struct limits *l, u64 memory, u64 gpa, u64 *error)
{
	u64 table = s->cr3 & PT_ADDR, rights = PT_LOW_RIGHTS;
	u64 *at, e, size, bits;
	u32 level;

	for (level = s->pt.levels; ; level--) {
		if (!page_ok(l, table, PAGE))
			return FILL_BAD;
		at = (u64 *)(memory + table) + ((gpa >> shift(level)) & 511);
again:
		e = __atomic_load_n(at, __ATOMIC_RELAXED);
		*error &= ~(PF_P | PF_RSVD);
		if (!(e & PT_P))
			return FILL_HOSTS;
		*error |= PF_P;
		if (reserved(l, e, level)) {
			*error |= PF_RSVD;
			return FILL_HOSTS;
		}
		rights = (rights & e & PT_LOW_RIGHTS) | ((rights | e) & PT_NX);
		if (level == 1 || (level <= 3 && (e & PT_LEAF)))
			break;
		if (!mark(at, e, PT_A))
			goto again;
		table = e & PT_ADDR;
	}
	if (denied(rights, *error))
		return FILL_HOSTS;
	size = BIT(shift(level));
	if (!page_ok(l, e & PT_ADDR & ~(size - 1), size))
		return FILL_BAD;
	bits = *error & PF_W ? PT_A | PT_D : PT_A;
	if (!mark(at, e, bits))
		goto again;
	if (!((e | bits) & PT_D))
		rights &= ~PT_W;	/* its first write has to be told */
	return pt_put(&s->pt, gpa & ~(size - 1), e & PT_ADDR & ~(size - 1), rights, level) ?
	       FILL_DONE : FILL_FULL;
}
