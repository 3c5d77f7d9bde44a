/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of resident/ that run on a CPU; the pure ones include resident.h only. */
#ifndef CT_RESIDENT_CPU_H
#define CT_RESIDENT_CPU_H

#include "../core/core.h"
#include "resident.h"

#define KICK_VECTOR	0xf0
#define TIMER_VECTOR	0xf1

_Static_assert(sizeof(struct resident) <= PAGE, "a page of struct cpu_memory");

/**
 * resident_of() - the resident vCPU of a CPU
 * @m: memory of the CPU
 *
 * Context: see "State of a CPU" in core.h.
 * Return: its state, which is valid while the CPU is HELD or PARKED.
 */
static inline struct resident *resident_of(const struct cpu_memory *m)
{
	return (struct resident *)m->resident;
}

/* interrupts.S */
void take_interrupts(void);
void wait_for_interrupt(void);

/* resident.c */
extern struct spinlock posts_lock;
const char *resident_hold(struct cpu_memory *m, host_pa_t from);
long resident_stop(struct cpu *self, u64 index);
long resident_fetch(struct cpu *self, u64 index, host_pa_t to);
struct cpu_memory *sibling(const struct cpu_memory *m, u32 index);
bool all_here(const struct cpu_memory *m);
void kick(struct cpu_memory *m);

/* exits.c */
enum served { RESUME_GUEST, PARK_VCPU };

void timer_check(struct resident *res);
void timer_arm(struct resident *res);
bool can_wake(const struct cpu_memory *m);
void offer_interrupt(struct cpu_memory *m);
enum served serve(struct cpu_memory *m);

#endif
