// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the caretaker shows: the window that Linux reads, and QEMU's debug
 * console for when there is no Linux. Counters live in private memory and are only
 * copied out: the window is never read.
 */
#include "core.h"

#define DEBUG_PORT	0xe9
#define RING		sizeof(((struct caretaker_window *)0)->log)

static struct spinlock log_lock;
static u64 log_end;		/* under log_lock */

static void putc(char c)
{
	asm volatile("outb %0, %1" : : "a"(c), "Nd"((u16)DEBUG_PORT));
	g.host_window->log[log_end++ % RING] = c;
}

static void puts(const char *s)
{
	while (*s)
		putc(*s++);
}

static void put_hex(u64 v)
{
	u32 digits = 1;

	while (digits < 16 && v >> (4 * digits))
		digits++;
	while (digits--)
		putc("0123456789abcdef"[v >> (4 * digits) & 15]);
}

/**
 * say() - begin a line of the log
 * @c: this CPU
 * @what: the line's text
 *
 * Any number of say_value() and one say_end() have to follow.
 *
 * Context: takes log_lock, until say_end().
 */
void say(struct cpu *c, const char *what)
{
	spin_lock(&log_lock, c->index);
	puts("caretaker: cpu ");
	put_hex(c->index);
	puts(": ");
	puts(what);
}

/**
 * say_value() - add a number to the line
 * @c: this CPU
 * @name: what it is
 * @value: printed in hexadecimal
 *
 * Context: log_lock is held.
 */
void say_value(struct cpu *c, const char *name, u64 value)
{
	assert_held(c, &log_lock);
	putc(' ');
	puts(name);
	putc('=');
	put_hex(value);
}

/**
 * say_end() - end the line
 * @c: this CPU
 *
 * Context: releases log_lock.
 */
void say_end(struct cpu *c)
{
	assert_held(c, &log_lock);
	putc('\n');
	g.host_window->log_end = log_end;
	spin_unlock(&log_lock);
}

static void put_counter(struct cpu *c, u32 which, u64 value)
{
	c->counter[which] = value;
	g.host_window->cpu[c->index].counter[which] = value;
}

/**
 * count() - add one to a counter
 * @c: this CPU
 * @which: CARETAKER_C_*
 */
void count(struct cpu *c, u32 which)
{
	put_counter(c, which, c->counter[which] + 1);
}

/**
 * at_most() - raise a counter that is a maximum
 * @c: this CPU
 * @which: CARETAKER_C_*
 * @value: what was measured
 */
void at_most(struct cpu *c, u32 which, u64 value)
{
	if (value > c->counter[which])
		put_counter(c, which, value);
}

/**
 * refuse() - count a refusal
 * @c: this CPU
 * @which: CARETAKER_C_*
 * @error: CARETAKER_E*
 *
 * Return: @error, for the handler of a hypercall to return.
 */
long refuse(struct cpu *c, u32 which, long error)
{
	count(c, which);
	return error;
}

/**
 * set_state() - change what a CPU is, and show it
 * @c: this CPU; or one that is PARKED, with posts_lock held
 * @state: CARETAKER_CPU_*
 *
 * Context: see "State of a CPU" in core.h.
 */
void set_state(struct cpu *c, u32 state)
{
	__atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
	g.host_window->cpu[c->index].state = state;
	g.host_window->cpu[c->index].apic_id = c->apic_id;
}

/**
 * stop() - end this CPU, with its state in the log; other CPUs go on
 * @m: memory of this CPU
 * @why: for the log
 *
 * Context: log_lock is not held by this CPU.
 */
void stop(struct cpu_memory *m, const char *why)
{
	const struct vmcb *v = &m->host;
	struct cpu *c = &m->data;

	set_state(c, CARETAKER_CPU_DEAD);
	say(c, "stopped: ");
	puts(why);
	say_value(c, "exit", v->exit_code);
	say_value(c, "info1", v->exit_info_1);
	say_value(c, "info2", v->exit_info_2);
	say_value(c, "event", v->exit_int_info);
	say_value(c, "rip", v->rip);
	say_value(c, "rsp", v->rsp);
	say_value(c, "rflags", v->rflags);
	say_value(c, "cr0", v->cr0);
	say_value(c, "cr2", v->cr2);
	say_value(c, "cr3", v->cr3);
	say_value(c, "cr4", v->cr4);
	say_value(c, "cs", v->cs.selector);
	say_end(c);
	halt();
}

/**
 * assert_held() - end this CPU unless it holds a lock
 * @c: this CPU
 * @l: the lock
 */
void assert_held(struct cpu *c, const struct spinlock *l)
{
	if (spin_is_held(l, c->index))
		return;
	asm volatile("ud2");	/* root_trap() logs where */
}

/**
 * root_trap() - end this CPU after an exception in the caretaker; called by entry.S
 * @at: vector, error code, RIP, CS, RFLAGS, RSP
 * @cr2: address of a page fault
 */
void root_trap(const u64 *at, u64 cr2)
{
	struct cpu *c = &g.cpus[0].data;
	u32 i;

	for (i = 0; i < g.p.cpus; i++)
		if ((u64)at - (u64)&g.cpus[i] < CPU_BYTES)
			c = &g.cpus[i].data;
	spin_unlock(&log_lock);		/* it may be held by this CPU */
	set_state(c, CARETAKER_CPU_DEAD);
	say(c, "exception in the caretaker");
	say_value(c, "vector", at[0]);
	say_value(c, "error", at[1]);
	say_value(c, "rip", at[2] - (u64)image);
	say_value(c, "cr2", cr2);
	say_value(c, "rsp", at[5]);
	say_end(c);
	halt();
}
