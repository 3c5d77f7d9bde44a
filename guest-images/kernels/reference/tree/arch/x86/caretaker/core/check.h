/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host may name and ask for. Pure: runs in userspace tests. */
#ifndef CT_CHECK_H
#define CT_CHECK_H

#include "npt.h"
#include "vmcb.h"

/**
 * struct limits - what a request of the host's is checked against
 * @hole: private memory
 * @end: of physical memory
 * @host_map: where physical address 0 is mapped: 0 in the caretaker, a buffer in tests
 * @host_asid: ASID of the host, which no guest may have
 * @asids: number of ASIDs that the processor has
 * @svm_features: SVM_*, what the processor has
 * @eraps: the processor has ERAP_CONTROL
 */
struct limits {
	struct hole hole;
	u64 end;
	u64 host_map;
	u32 host_asid;
	u32 asids;
	u32 svm_features;
	bool eraps;
};

/**
 * typedef host_pa_t - physical address in the host's memory
 *
 * A type of its own, so that no address that the host names is dereferenced by
 * accident: only host_pages() makes one, after the check, and only host_ptr()
 * turns it into a pointer. The host may change what is there at any time.
 */
typedef struct {
	u64 pa;
} host_pa_t;

/**
 * page_ok() - may the host name this memory?
 * @l: limits
 * @pa: physical address
 * @bytes: size
 *
 * Return: true if it begins on a page, exists, and none of it is private.
 */
static inline bool page_ok(const struct limits *l, u64 pa, u64 bytes)
{
	return !(pa & (PAGE - 1)) && pa < l->end && bytes <= l->end - pa &&
	       !overlap(pa, bytes, l->hole.start, l->hole.size);
}

/**
 * host_pages() - check an address that the host named
 * @l: limits
 * @pa: physical address
 * @bytes: size
 * @to: the same address, once it has been checked
 *
 * Return: false if the host may not name it; @to is then not set.
 */
static inline bool host_pages(const struct limits *l, u64 pa, u64 bytes, host_pa_t *to)
{
	if (!page_ok(l, pa, bytes))
		return false;
	*to = (host_pa_t){ pa };
	return true;
}

/**
 * host_ptr() - where the caretaker sees memory of the host's
 * @l: limits
 * @at: an address from host_pages()
 *
 * Return: the address of memory that the host may be writing to.
 */
static inline void *host_ptr(const struct limits *l, host_pa_t at)
{
	return (void *)(l->host_map + at.pa);
}

#define FIRST_VECTOR	32	/* of interrupts: those below are of exceptions */

/* What becomes of a write to the x2APIC's ICR. */
enum icr_verdict { ICR_SEND, ICR_REFUSE, ICR_FAULT };

bool vmcb_ok(const struct limits *l, const struct vmcb *v);
enum icr_verdict icr_check(u64 icr, const u32 *owned, u32 n);
void msrpm_host(u8 *map);
void msrpm_merge(u8 *ours, const u8 *hosts);
/* What CPUID says of EFER: leaves 0x80000001, 0x80000008, 0x80000021; 0 where there is none. */
struct efer_cpuid {
	u32 fn1_ecx, fn1_edx, fn8_ebx, fn21_eax;
};

u64 efer_known(const struct efer_cpuid *id);
bool efer_ok(u64 known, u64 value, u64 now, bool paging);

#endif
