// SPDX-License-Identifier: GPL-2.0-only
/*
 * What can be seen of us: the window that Linux reads, and QEMU's debug console for when there is no
 * Linux. Counters are kept in private memory and only copied out; the window is never read.
 */
#include "core.h"

#define DEBUG_PORT	0xe9
#define RING		sizeof(((struct caretaker_window *)0)->log)

static u32 lock;
static u64 log_end;

static void putc(char c)
{
	asm volatile("outb %0, %1" : : "a"(c), "Nd"((u16)DEBUG_PORT));
	g.window->log[log_end++ % RING] = c;
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

/* say(), any number of say_value(), say_end(): one line, not mixed with others. */
void say(struct cpu *c, const char *what)
{
	while (__atomic_exchange_n(&lock, 1, __ATOMIC_ACQUIRE))
		__builtin_ia32_pause();
	puts("caretaker: cpu ");
	put_hex(c->index);
	puts(": ");
	puts(what);
}

void say_value(const char *name, u64 value)
{
	putc(' ');
	puts(name);
	putc('=');
	put_hex(value);
}

void say_end(void)
{
	putc('\n');
	g.window->log_end = log_end;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);
}

static void put_counter(struct cpu *c, u32 which, u64 value)
{
	c->counter[which] = value;
	g.window->cpu[c->index].counter[which] = value;
}

void count(struct cpu *c, u32 which)
{
	put_counter(c, which, c->counter[which] + 1);
}

void at_most(struct cpu *c, u32 which, u64 value)
{
	if (value > c->counter[which])
		put_counter(c, which, value);
}

void set_state(struct cpu *c, u32 state)
{
	__atomic_store_n(&c->state, state, __ATOMIC_RELEASE);
	g.window->cpu[c->index].state = state;
	g.window->cpu[c->index].apic_id = c->apic_id;
}

/* This CPU has no future. Others go on. */
void stop(struct cpu_memory *m, const char *why)
{
	const struct vmcb *v = &m->host;

	set_state(&m->data, CARETAKER_CPU_DEAD);
	say(&m->data, "stopped: ");
	puts(why);
	say_value("exit", v->exit_code);
	say_value("info1", v->exit_info_1);
	say_value("info2", v->exit_info_2);
	say_value("event", v->exit_int_info);
	say_value("rip", v->rip);
	say_value("rsp", v->rsp);
	say_value("rflags", v->rflags);
	say_value("cr0", v->cr0);
	say_value("cr2", v->cr2);
	say_value("cr3", v->cr3);
	say_value("cr4", v->cr4);
	say_value("cs", v->cs.selector);
	say_end();
	halt();
}

/* An exception of our own: a bug of ours. `at`: vector, error code, RIP, CS, RFLAGS, RSP. */
void root_trap(const u64 *at, u64 cr2)
{
	struct cpu *c = &g.cpus[0].data;
	u32 i;

	for (i = 0; i < g.p.cpus; i++)
		if ((u64)at - (u64)&g.cpus[i] < CPU_BYTES)
			c = &g.cpus[i].data;
	__atomic_store_n(&lock, 0, __ATOMIC_RELEASE);	/* may be ours */
	set_state(c, CARETAKER_CPU_DEAD);
	say(c, "exception in the caretaker");
	say_value("vector", at[0]);
	say_value("error", at[1]);
	say_value("rip", at[2] - (u64)image);
	say_value("cr2", cr2);
	say_value("rsp", at[5]);
	say_end();
	halt();
}

/* The compiler may call these two for copies that it finds too long to write out. */
void *memcpy(void *to, const void *from, u64 n)
{
	void *d = to;

	asm volatile("rep movsb" : "+D"(d), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int c, u64 n)
{
	void *d = to;

	asm volatile("rep stosb" : "+D"(d), "+c"(n) : "a"(c) : "memory");
	return to;
}
