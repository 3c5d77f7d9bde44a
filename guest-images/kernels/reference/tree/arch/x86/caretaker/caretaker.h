/* SPDX-License-Identifier: GPL-2.0-only */
/* Between the files of the Linux side. */
#ifndef CARETAKER_H
#define CARETAKER_H

#include <linux/atomic.h>
#include <linux/mm_types.h>
#include <linux/types.h>
#include <asm/asm.h>
#include <asm/caretaker.h>

struct caretaker {
	const char *unusable;		/* why, or NULL */
	bool swallowed;			/* all CPUs that are on-line, and all to come */
	phys_addr_t pa;
	unsigned long size;
	bool found;			/* it was below already when this kernel started */
	bool stays;			/* and is to be, when the next one does */
	unsigned int mutant;		/* CARETAKER_MUTANT_* */
	pgd_t *pgd;			/* the kernel's, and its memory where it physically is */
	struct caretaker_window *window;
	phys_addr_t window_pa;
	atomic_t kexec_refused;		/* segments over that memory */
	int fail_cpu;			/* for tests: this one shall refuse, once */
};

extern struct caretaker caretaker;
DECLARE_PER_CPU(unsigned long, caretaker_hold);
DECLARE_PER_CPU(long, caretaker_hold_error);

/* This kernel's image, of a length that the compiler is not to guess, and its header. */
extern const u8 caretaker_image_start[], caretaker_image_end[];
#define CARETAKER_HEAD	((const struct caretaker_image *)caretaker_image_start)

int caretaker_swallow(void);
int caretaker_release(void);
int caretaker_replace(void);
int caretaker_renew(void);
bool caretaker_has_room(void);
void caretaker_attach_this_cpu(void);
long caretaker_go(unsigned long offset, unsigned long arg);
void caretaker_discard_vcpus(void);

/* CPUs that Linux gave away: what the caretaker says of them. */
static inline u32 caretaker_cpu_state(unsigned int index)
{
	return READ_ONCE(caretaker.window->cpu[index].state);
}

struct caretaker_answer {
	long rax;
	unsigned long rbx, rcx, rdx;
};

#define CARETAKER_NOBODY	(-ENXIO)	/* in rax: nobody is below */

/* With nobody below, VMMCALL is an invalid instruction. */
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

static __always_inline struct caretaker_answer caretaker_call(unsigned long what)
{
	return caretaker_call_with(what, 0);
}

#endif
