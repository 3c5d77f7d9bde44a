/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Spinlocks of private memory. Order: posts_lock, log_lock; leave_lock alone. An owner is never
 * interrupted, for GIF is 0.
 */
#ifndef CT_LOCK_H
#define CT_LOCK_H

#include "types.h"

struct spinlock {
	u32 owner;	/* index of its CPU, plus 1; 0: free */
};

/**
 * spin_lock() - take a lock
 * @l: the lock
 * @index: of this CPU
 */
static inline void spin_lock(struct spinlock *l, u32 index)
{
	u32 free = 0;

	while (!__atomic_compare_exchange_n(&l->owner, &free, index + 1, false,
					    __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
		free = 0;
		__builtin_ia32_pause();
	}
}

/**
 * spin_unlock() - release a lock
 * @l: the lock, held by this CPU; or by a CPU that has none of its code left to run
 */
static inline void spin_unlock(struct spinlock *l)
{
	__atomic_store_n(&l->owner, 0, __ATOMIC_RELEASE);
}

/**
 * spin_is_held() - does this CPU hold the lock?
 * @l: the lock
 * @index: of this CPU
 *
 * Return: true if it does.
 */
static inline bool spin_is_held(const struct spinlock *l, u32 index)
{
	return __atomic_load_n(&l->owner, __ATOMIC_RELAXED) == index + 1;
}

#endif
