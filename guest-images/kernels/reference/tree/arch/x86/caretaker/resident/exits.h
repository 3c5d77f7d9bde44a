/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_EXITS_H
#define CT_EXITS_H

#include "../core/core.h"

#define KICK_VECTOR	0xf0
#define TIMER_VECTOR	0xf1
#define MSR_TSC_DEADLINE	0x6e0
#define MSR_TSC_AUX	0xc0000103
#define SAVE_AT		0x400

/* interrupts.S: let in what is pending, or wait for something to be. */
void window(void);
void idle(void);

void hold(struct cpu_memory *m);
long resident_stop(u64 index);
long resident_fetch(u64 index, u64 pa);

struct cpu_memory *sibling(const struct cpu_memory *m, u32 index);
bool all_here(const struct cpu_memory *m);
void kick(struct cpu_memory *m);
extern u32 posts;	/* held while one is sent, and while one who may get it goes */
void lock(u32 *l);
void unlock(u32 *l);

void timer_look(struct resident *r);
void timer_arm(struct resident *r);
bool may_wake(const struct cpu_memory *m);
void offer(struct cpu_memory *m);
bool serve(struct cpu_memory *m);

#endif
