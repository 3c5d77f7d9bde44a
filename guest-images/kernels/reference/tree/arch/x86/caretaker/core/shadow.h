/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_SHADOW_H
#define CT_SHADOW_H

#include "check.h"

/*
 * A nested table of ours for one guest of the host's, on one CPU. It is no
 * more than a TLB: filled from the host's table when the guest faults, checked
 * as it is filled, dropped when the host has the TLB flushed.
 */
struct shadow {
	struct pt pt;
	u64 cr3;	/* whose table this stands for, */
	u32 asid;	/* and under which tag; 0: nobody's */
	u32 since;	/* when it was last taken */
	u64 missed;	/* address and error of the last fault that its host was told of */
	u64 error;
};

enum fill {
	FILL_DONE,	/* go on */
	FILL_HOSTS,	/* the host's table says no: it has to see the fault */
	FILL_BAD,	/* the host's table names what it may not */
	FILL_FULL,	/* drop it, and once more */
};

#define PF_P	BIT(0)
#define PF_W	BIT(1)
#define PF_U	BIT(2)
#define PF_RSVD	BIT(3)
#define PF_I	BIT(4)

void shadow_drop(struct shadow *s);
enum fill shadow_fill(struct shadow *s, const struct limits *l, u64 memory, u64 gpa, u64 *error);

#endif
