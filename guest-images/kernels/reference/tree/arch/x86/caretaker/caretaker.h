/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the files of the Linux side. They use each other downwards only: main.c, luo.c
 * and sysfs.c; vcpu.c; swallow.c; load.c, guest_memory.c, record.c, kexec_handover.c.
 */
#ifndef CARETAKER_H
#define CARETAKER_H

#include <linux/atomic.h>
#include <linux/bitmap.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/caretaker.h>

/**
 * struct caretaker - what Linux knows of the caretaker
 * @unusable: why it cannot be used, or NULL
 * @swallowed: all CPUs that are online are below it, and all to come
 * @pa: of its memory
 * @size: of its memory
 * @found: it was running already when this kernel started
 * @preserved: CPUs whose vCPU goes to the next kernel; if any, the host is not released
 * @mutant: CARETAKER_MUTANT_*
 * @pgd: the kernel's page table, and the caretaker's memory at its physical address
 * @window: what the caretaker shows; it is never written to by Linux once a CPU has entered
 * @window_pa: of @window
 * @kexec_refused: segments over its memory
 * @fail_cpu: for tests: this CPU fails to enter, once; -1: none does
 *
 * @unusable, @swallowed and @fail_cpu change under swallow_lock (swallow.c), or while
 * only one CPU is online; @preserved in luo.c, which LUO serializes; the rest at boot.
 */
struct caretaker {
	const char *unusable;
	bool swallowed;
	phys_addr_t pa;
	unsigned long size;
	bool found;
	DECLARE_BITMAP(preserved, CARETAKER_MAX_CPUS);
	unsigned int mutant;
	pgd_t *pgd;
	struct caretaker_window *window;
	phys_addr_t window_pa;
	atomic_t kexec_refused;
	int fail_cpu;
};

extern struct caretaker caretaker;

/*
 * Per CPU, besides caretaker_in (asm/caretaker.h, written by the CPU itself with interrupts
 * off): the physical address of the vCPU that the CPU is given when it goes offline,
 * written by the CPU that offlines it, under the mutex of the vCPU's file; and why it was
 * refused, written by the CPU itself.
 */
DECLARE_PER_CPU(unsigned long, caretaker_hold);
DECLARE_PER_CPU(long, caretaker_hold_error);

/* This kernel's image, whose length the compiler must not assume, and its header. */
extern const u8 caretaker_image_start[], caretaker_image_end[];
#define CARETAKER_HEAD	((const struct caretaker_image *)caretaker_image_start)

/* load.c */
unsigned long caretaker_memory_size(void);
const char *caretaker_load_image(void);
const char *caretaker_init_image(void);
const char *caretaker_attach(void);
long caretaker_go(unsigned long offset, unsigned long arg);

/* swallow.c */
int caretaker_swallow(void);
int caretaker_release(bool leave_residents);
int caretaker_replace(void);
void caretaker_attach_this_cpu(void);

/* vcpu.c */
void caretaker_discard_vcpus(void);

/**
 * caretaker_cpu_state() - what the caretaker says of a CPU
 * @index: number by which the caretaker knows it
 *
 * Return: CARETAKER_CPU_*.
 */
static inline u32 caretaker_cpu_state(unsigned int index)
{
	return READ_ONCE(caretaker.window->cpu[index].state);
}

struct caretaker_answer {
	long rax;
	unsigned long rbx, rcx, rdx;
};

#define CARETAKER_NOBODY	(-ENXIO)	/* in rax: there is no caretaker below */

/**
 * caretaker_call_with() - call the caretaker below this CPU
 * @what: CARETAKER_HC_*, and the address of a page
 * @rbx: argument
 *
 * Return: its answer; with no caretaker below, VMMCALL is an invalid instruction.
 */
static __always_inline struct caretaker_answer caretaker_call_with(unsigned long what,
								   unsigned long rbx)
{
	struct caretaker_answer a = { .rax = what, .rbx = rbx };

	asm volatile("1:	vmmcall\n"
		     "	jmp 3f\n"
		     "2:	mov %[nobody], %%rax\n"
		     "3:\n"
		     _ASM_EXTABLE(1b, 2b)
		     : "+a"(a.rax), "+b"(a.rbx), "=c"(a.rcx), "=d"(a.rdx)
		     : [nobody] "i"(CARETAKER_NOBODY)
		     : "memory", "cc");
	return a;
}

/**
 * caretaker_call() - call the caretaker below this CPU
 * @what: CARETAKER_HC_*, and the address of a page
 *
 * Return: its answer.
 */
static __always_inline struct caretaker_answer caretaker_call(unsigned long what)
{
	return caretaker_call_with(what, 0);
}

#endif
