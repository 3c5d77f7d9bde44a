/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_CHECK_H
#define CT_CHECK_H

#include "npt.h"
#include "vmcb.h"

struct limits {
	struct hole hole;	/* private memory */
	u64 end;		/* of physical memory */
	u32 host_asid;
	u32 asids;
};

/* May the host name this page? */
static inline bool page_ok(const struct limits *l, u64 pa, u64 bytes)
{
	return !(pa & (PAGE - 1)) && pa < l->end && bytes <= l->end - pa &&
	       !overlap(pa, bytes, l->hole.start, l->hole.size);
}

bool vmcb_ok(const struct limits *l, const struct vmcb *v);

enum verdict { ICR_SEND, ICR_REFUSE, ICR_FAULT };

/* `owned` has the APIC ids of the CPUs that are in, the sender's too. */
enum verdict icr_verdict(u64 icr, const u32 *owned, u32 n);

void msrpm_merge(u8 *ours, const u8 *hosts);

bool efer_ok(u64 value, u64 now, bool paging);

#endif
