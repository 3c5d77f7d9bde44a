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
 * @efer_known: bits of EFER that it has
 * @cr4_known: bits of CR4 that it has
 */
struct limits {
	struct hole hole;
	u64 end;
	u64 host_map;
	u32 host_asid;
	u32 asids;
	u32 svm_features;
	bool eraps;
	u64 efer_known;
	u64 cr4_known;
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

/**
 * enum msr_policy - what becomes of an access of the host's to an MSR
 * @MSR_FREE: it is not looked at
 * @MSR_OWN: the caretaker has its own answer
 * @MSR_PASS: it is done, if the processor takes it, or else #GP
 * @MSR_PAGE: likewise, but #GP if the address that is written is in private memory
 * @MSR_SAME: a write of what is there already; others are #GP
 * @MSR_DROP: likewise; others are dropped
 * @MSR_NEVER: #GP
 */
enum msr_policy { MSR_FREE, MSR_OWN, MSR_PASS, MSR_PAGE, MSR_SAME, MSR_DROP, MSR_NEVER };

bool event_ok(u64 event);
bool vmcb_ok(const struct limits *l, const struct vmcb *v);
enum icr_verdict icr_check(u64 icr, const u32 *owned, u32 n);
void msrpm_merge(u8 *ours, const u8 *hosts);
/* Leaves of CPUID, 1, 7, and 0x80000001 and so on; 0 where there is none. */
struct cpuid_bits {
	u32 std1_ecx, std1_edx, std7_ebx, std7_ecx;
	u32 fn1_ecx, fn1_edx, fn8_ebx, svm_ebx, svm_edx, fn1f_eax, fn1f_ebx, fn21_eax;
};

bool processor_ok(const struct cpuid_bits *id);
u64 host_misc_ctl(const struct cpuid_bits *id);
u64 encryption_bit(const struct cpuid_bits *id);

/* msr_policy.c */
enum msr_policy msr_policy(u32 msr, bool write);
void msrpm_host(u8 *map);
bool msr_page_ok(const struct limits *l, u64 value);

u64 efer_known(const struct cpuid_bits *id);
u64 cr4_known(const struct cpuid_bits *id);
bool efer_ok(u64 known, u64 value, u64 now, bool paging);

#endif
