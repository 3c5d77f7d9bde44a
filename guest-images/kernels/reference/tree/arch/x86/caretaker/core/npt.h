/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_NPT_H
#define CT_NPT_H

#include "types.h"

#define PT_P		BIT(0)
#define PT_W		BIT(1)
#define PT_U		BIT(2)
#define PT_A		BIT(5)
#define PT_D		BIT(6)
#define PT_LEAF		BIT(7)	/* of levels 2 and 3 */
#define PT_NX		BIT(63)
#define PT_ADDR		0x000ffffffffff000ULL

/**
 * struct pt - a page table whose pages come from one piece of memory
 * @mem: that memory as the caretaker sees it; zeroed
 * @pa: its physical address, which is that of the root, too
 * @pages: its size
 * @used: pages of it that the table has
 * @levels: 4 or 5
 */
struct pt {
	u8 *mem;
	u64 pa;
	u32 pages;
	u32 used;
	u32 levels;
};

/**
 * struct hole - memory that an identity map leaves out
 * @start: physical address, a multiple of 2 MiB
 * @size: a multiple of 2 MiB
 */
struct hole {
	u64 start;
	u64 size;
};

#define PT_NONE		(~0ULL)	/* pt_lookup(): not mapped */

void pt_begin(struct pt *t, u8 *mem, u64 pa, u32 pages, u32 levels);
bool pt_put(struct pt *t, u64 va, u64 pa, u64 flags, u32 level);
bool pt_map(struct pt *t, u64 va, u64 pa, u64 flags, u32 level);
bool pt_identity(struct pt *t, u64 end, struct hole hole, u64 flags);
u64 pt_lookup(const struct pt *t, u64 va, u64 *flags);
bool pt_is_identity(const struct pt *t, u64 end, struct hole hole, u64 flags);

#endif
