// SPDX-License-Identifier: GPL-2.0-only
/* What an instruction does that the processor does not do for us. */
#include "core.h"

/**
 * skip() - move past the instruction that ended a run
 * @v: VMCB of the host or a guest
 * @bytes: length of the instruction, for processors that do not say it
 *
 * Every instruction that is skipped has one length only.
 */
void skip(struct vmcb *v, u32 bytes)
{
	v->rip = g.nrips && v->next_rip ? v->next_rip : v->rip + bytes;
	v->int_state &= ~1ULL;
}

/**
 * inject() - have an exception delivered at the next VMRUN
 * @v: VMCB of the host
 * @event: EVENT_*
 *
 * If another event was being delivered, the two make a double fault.
 */
void inject(struct vmcb *v, u64 event)
{
	v->event_inj = v->exit_int_info & EVENT_VALID ? EVENT_DF : event;
}

/**
 * memcpy() - the compiler may call it for copies that it does not inline
 * @to: destination
 * @from: source
 * @n: bytes
 *
 * Return: @to.
 */
void *memcpy(void *to, const void *from, u64 n)
{
	void *d = to;

	asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}

/**
 * memset() - the compiler may call it for what it does not inline
 * @to: destination
 * @c: value of each byte
 * @n: bytes
 *
 * Return: @to.
 */
void *memset(void *to, int c, u64 n)
{
	void *d = to;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return to;
}
