/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_SHADOW_H
#define CT_SHADOW_H

#include "check.h"

/**
 * struct shadow - nested table of the caretaker's for one guest of KVM's, on one CPU
 * @pt: the table
 * @cr3: root of the host's table for which it stands,
 * @levels: how many levels that has,
 * @asid: and the guest's ASID; 0: of none
 * @since: when it was last used, by the CPU's count of uses
 * @missed: address of the last fault that was left to the host
 * @error: and its error code; 0: none
 *
 * It is no more than a TLB: filled from the host's table when the guest faults,
 * checked as it is filled, dropped when the host has the TLB flushed.
 */
struct shadow {
	struct pt pt;
	u64 cr3;
	u32 levels;
	u32 asid;
	u32 since;
	u64 missed;
	u64 error;
};

/**
 * enum fill - what became of a fault
 * @FILL_DONE: the entry is there, the guest can resume
 * @FILL_HOSTS: the host's table does not allow it: the host has to see the fault
 * @FILL_BAD: the host's table names memory that it may not name
 * @FILL_FULL: no room left: drop the table, and fill again
 */
enum fill {
	FILL_DONE,
	FILL_HOSTS,
	FILL_BAD,
	FILL_FULL,
};

/* Error code of a page fault. */
#define PF_P	BIT(0)
#define PF_W	BIT(1)
#define PF_U	BIT(2)
#define PF_RSVD	BIT(3)
#define PF_I	BIT(4)

void shadow_drop(struct shadow *s);
enum fill shadow_fill(struct shadow *s, const struct limits *l, u64 gpa, u64 *error);

#endif
