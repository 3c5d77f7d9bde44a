// SPDX-License-Identifier: GPL-2.0-only
/*
 * In and out: all CPUs at once at run time, single CPUs as they come on-line
 * and go off, and whoever is still in when the kernel crashes.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/cpu.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/stop_machine.h>
#include <asm/apic.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "caretaker.h"

DEFINE_PER_CPU(bool, caretaker_in);
EXPORT_PER_CPU_SYMBOL_GPL(caretaker_in);

/* Physical address of the vCPU that a CPU is to run when it is off-line; why it did not. */
DEFINE_PER_CPU(unsigned long, caretaker_hold);
DEFINE_PER_CPU(long, caretaker_hold_error);

static DEFINE_MUTEX(swallow_lock);

struct move {
	bool in;
	int cpus;
	atomic_t arrived;
	atomic_t error;
	int culprit;
};

static long enter_this_cpu(void)
{
	/* What lies there may be another build's, from the kernel before. */
	const struct caretaker_image *head = phys_to_virt(caretaker.pa);
	unsigned int cpu = smp_processor_id();
	struct caretaker_answer a;
	long r;

	r = caretaker_go(head->enter, cpu);
	if (r)
		return r;
	this_cpu_write(caretaker_in, true);
	a = caretaker_call(CARETAKER_HC_INFO);
	WARN_ON_ONCE(a.rax || a.rbx != CARETAKER_MAGIC || a.rdx != cpu);
	return 0;
}

/* With interrupts off. It leaves by its own code, so that has to be mapped. */
static long ask_release(void)
{
	unsigned long cr3 = __read_cr3();
	long r;

	write_cr3(__pa(caretaker.pgd));
	r = caretaker_call(CARETAKER_HC_RELEASE).rax;
	write_cr3(cr3);
	return r;
}

static long leave_this_cpu(void)
{
	long r;

	this_cpu_write(caretaker_in, false);
	r = ask_release();
	if (WARN_ON_ONCE(r))
		this_cpu_write(caretaker_in, true);
	return r;
}

static void wait_for_all(struct move *m)
{
	atomic_inc(&m->arrived);
	while (atomic_read(&m->arrived) < m->cpus)
		cpu_relax();
}

/* On every CPU, with interrupts off: no KVM guest is half entered anywhere. */
static int move_this_cpu(void *data)
{
	struct move *m = data;
	long r;

	if (!m->in)
		return leave_this_cpu();
	r = smp_processor_id() == caretaker.fail_cpu ? -EIO : enter_this_cpu();
	if (r && !atomic_cmpxchg(&m->error, 0, r))
		m->culprit = smp_processor_id();
	wait_for_all(m);
	if (!atomic_read(&m->error))
		return 0;
	return this_cpu_read(caretaker_in) ? leave_this_cpu() : 0;
}

static int move_all(struct move *m)
{
	int r;

	m->cpus = num_online_cpus();
	r = stop_machine_cpuslocked(move_this_cpu, m, cpu_online_mask);
	return r ?: atomic_read(&m->error);
}

int caretaker_swallow(void)
{
	struct move m = { .in = true };
	int r;

	if (caretaker.unusable)
		return -ENODEV;
	if (!x2apic_mode) {
		pr_err("not in x2APIC mode: INITs could not be kept from its CPUs\n");
		return -EOPNOTSUPP;
	}
	guard(mutex)(&swallow_lock);
	if (caretaker.swallowed)
		return -EALREADY;
	cpus_read_lock();
	r = move_all(&m);
	caretaker.swallowed = !r;
	cpus_read_unlock();
	if (r)
		pr_err("CPU %d refused (%d); the host is as it was\n", m.culprit, r);
	else
		pr_info("below %d CPUs\n", m.cpus);
	caretaker.fail_cpu = -1;
	return r;
}

int caretaker_release(void)
{
	struct move m = { .in = false };
	int r;

	guard(mutex)(&swallow_lock);
	if (!caretaker.swallowed)
		return -EALREADY;
	cpus_read_lock();
	r = move_all(&m);
	caretaker.swallowed = false;
	cpus_read_unlock();
	pr_info("released %d CPUs\n", m.cpus);
	return r;
}

/* Has it any CPU that Linux has not, or is about to? With CPUs kept from coming and going. */
static bool has_cpus(void)
{
	unsigned int i;

	for_each_possible_cpu(i)
		if (per_cpu(caretaker_hold, i))
			return true;
	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (caretaker_cpu_state(i) >= CARETAKER_CPU_DEAD)
			return true;
	return false;
}

/*
 * This kernel's own caretaker takes the place of the one that is there, which may
 * be another build's. KVM's guests go on, on a host that is native for so long.
 */
int caretaker_replace(void)
{
	struct move out = { .in = false }, in = { .in = true };
	u64 began;
	int r;

	if (caretaker.unusable)
		return -ENODEV;
	guard(mutex)(&swallow_lock);
	guard(cpus_read_lock)();
	if (!caretaker.swallowed)
		return -EALREADY;
	if (has_cpus())
		return -EBUSY;
	if (!caretaker_has_room())
		return -ENOSPC;

	/* From here on the old one is gone; if the new one fails, the host is native. */
	began = ktime_get_ns();
	move_all(&out);
	r = caretaker_renew() ?: move_all(&in);
	caretaker.swallowed = !r;
	caretaker.fail_cpu = -1;
	if (r)
		pr_err("the new one was refused (%d); the host is native\n", r);
	else
		pr_info("replaced; the host was native for %llu us\n",
			(ktime_get_ns() - began) / NSEC_PER_USEC);
	return r;
}

/* A new CPU, before it says that it is alive. False: it must not go on. */
bool caretaker_ap_starting(void)
{
	u64 base;
	long r;

	if (!caretaker.swallowed)
		return true;
	rdmsrq(MSR_IA32_APICBASE, base);
	if (!(base & X2APIC_ENABLE))
		wrmsrq(MSR_IA32_APICBASE, base | XAPIC_ENABLE | X2APIC_ENABLE);
	r = smp_processor_id() == caretaker.fail_cpu ? -EIO : enter_this_cpu();
	return !r;
}

/* The boot CPU, if the kernel before this one was swallowed and has stayed so. */
void __init caretaker_attach_this_cpu(void)
{
	this_cpu_write(caretaker_in, true);
	caretaker.swallowed = true;
}

/* The last that an off-line CPU does: it is to be reached by an INIT again. */
void caretaker_cpu_dies(void)
{
	if (this_cpu_read(caretaker_in) && !this_cpu_read(caretaker_hold))
		leave_this_cpu();
}

/* Or the very last: it is given away, with a vCPU to run. */
void caretaker_cpu_dead(void)
{
	unsigned long vcpu = this_cpu_read(caretaker_hold);

	if (!vcpu)
		return;
	this_cpu_write(caretaker_hold_error, caretaker_call(vcpu | CARETAKER_HC_HOLD).rax);
	leave_this_cpu();
}

/* In an NMI, maybe in the middle of anything: up, if there is somebody below. */
void caretaker_emergency(void)
{
	this_cpu_write(caretaker_in, false);
	ask_release();
}
