/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What one kernel tells the next of a guest_memfd.
 *
 * This interface is a contract: whoever changes it in any way counts up the
 * version in GMEM_LUO_FH_COMPATIBLE.
 */
#ifndef _LINUX_KHO_ABI_GUEST_MEMFD_H
#define _LINUX_KHO_ABI_GUEST_MEMFD_H

#include <linux/types.h>
#include <linux/kho/abi/kexec_handover.h>

/**
 * struct gmem_luo_ser - A guest_memfd, in memory that is preserved.
 * @size:  In bytes; a multiple of the size of a page, and not 0.
 * @flags: GUEST_MEMFD_FLAG_*, as it was created with.
 * @pfns:  A u64 for each page of the file, in order. There are no holes.
 */
struct gmem_luo_ser {
	u64 size;
	u64 flags;
	struct kho_vmalloc pfns;
} __packed;

#define GMEM_LUO_FH_COMPATIBLE	"guest-memfd-v1"

#endif
