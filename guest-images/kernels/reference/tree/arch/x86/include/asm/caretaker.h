/* SPDX-License-Identifier: GPL-2.0-only */
/* The caretaker's interface to the rest of the kernel. */
#ifndef _ASM_X86_CARETAKER_H
#define _ASM_X86_CARETAKER_H

#include <linux/jump_label.h>
#include <linux/percpu-defs.h>
#include <asm/caretaker_abi.h>

/* The caretaker is initialized, and can be used. Never disabled again. */
DECLARE_STATIC_KEY_FALSE(caretaker_key);
DECLARE_PER_CPU(bool, caretaker_in);

static __always_inline bool caretaker_ready(void)
{
	return static_branch_unlikely(&caretaker_key);
}

/* Is it below this CPU? Changes in stop_machine(), and when a CPU goes online or offline. */
static __always_inline bool caretaker_below(void)
{
	return caretaker_ready() && this_cpu_read(caretaker_in);
}

void caretaker_reserve(void);
bool caretaker_ap_starting(void);
void caretaker_cpu_dies(void);
void caretaker_cpu_dead(void);
bool caretaker_has(unsigned int apic_id);
bool caretaker_refuses(unsigned long start, unsigned long size);
void caretaker_emergency(void);
unsigned int caretaker_features(void);
const char *caretaker_unfit(const char *image, unsigned long len, const char *cmdline);

#endif
