// SPDX-License-Identifier: GPL-2.0-only
/*
 * Nested tables of the caretaker's for guests of KVM's. The host can edit its own
 * at any time, also while the guest runs: so the guest does not run on them. Pure:
 * runs in userspace tests.
 */
#include "shadow.h"

#define PT_LOW_RIGHTS	(PT_W | PT_U)
#define PT_RESERVED	0x7ff0000000000000ULL	/* but NX; more depends on the processor */

static u32 shift(u32 level)
{
	return 12 + 9 * (level - 1);
}

/**
 * shadow_drop() - empty a shadow table
 * @s: the table; it stands for no guest afterwards
 *
 * Context: the CPU that it belongs to. Its TLB is not flushed.
 */
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

/* Set accessed and dirty in an entry of the host's; false if the host changed it meanwhile. */
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

/**
 * shadow_fill() - add what the host's table says of an address
 * @s: the shadow table
 * @l: limits
 * @gpa: guest-physical address that faulted
 * @error: the processor's error code; set to what the host's own table would have given
 *
 * The host's table is walked as the processor would. An entry that the host
 * changes meanwhile is read again.
 *
 * Return: see enum fill.
 */
enum fill shadow_fill(struct shadow *s, const struct limits *l, u64 gpa, u64 *error)
{
	u64 table = s->cr3 & PT_ADDR, rights = PT_LOW_RIGHTS;
	u64 *at, e, size, bits;
	host_pa_t page;
	u32 level;

	if (s->levels < 5 && gpa >> 48) {	/* the host's table has no entry for it */
		*error &= ~(PF_P | PF_RSVD);
		return FILL_HOSTS;
	}
	for (level = s->levels; ; level--) {
		if (!host_pages(l, table, PAGE, &page))
			return FILL_BAD;
		at = (u64 *)host_ptr(l, page) + ((gpa >> shift(level)) & 511);
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
		rights &= ~PT_W;	/* the first write sets it */
	return pt_put(&s->pt, gpa & ~(size - 1), e & PT_ADDR & ~(size - 1), rights, level) ?
	       FILL_DONE : FILL_FULL;
}
