// SPDX-License-Identifier: GPL-2.0-only
/*
 * CPUs enter and leave: all at once at run time, single ones as they come online and go
 * offline, and each that is still below when the kernel crashes.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/cc_platform.h>
#include <linux/cpu.h>
#include <linux/kexec.h>
#include <linux/ktime.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/stop_machine.h>
#include <asm/apic.h>
#include <asm/msr.h>
#include <asm/tlbflush.h>

#include "caretaker.h"

DEFINE_PER_CPU(bool, caretaker_in);
EXPORT_PER_CPU_SYMBOL_GPL(caretaker_in);

DEFINE_PER_CPU(unsigned long, caretaker_hold);
DEFINE_PER_CPU(long, caretaker_hold_error);

static DEFINE_MUTEX(swallow_lock);	/* outside of cpus_read_lock() */

struct move {
	bool in;
	bool leave_residents;
	int cpus;
	atomic_t arrived;
	atomic_t error;
	int culprit;
};

static long enter_this_cpu(void)
{
	/* The image may be another build's, from the previous kernel. */
	const struct caretaker_image *head = phys_to_virt(caretaker.pa);
	unsigned int cpu = smp_processor_id();
	struct caretaker_answer a;
	long r;

	lockdep_assert_irqs_disabled();
	r = caretaker_go(head->enter, cpu);
	if (r)
		return r;
	this_cpu_write(caretaker_in, true);
	a = caretaker_call(CARETAKER_HC_INFO);
	WARN_ON_ONCE(a.rax || a.rbx != CARETAKER_MAGIC || a.rdx != cpu);
	return 0;
}

/*
 * The image, which this CPU leaves by, has to be mapped. With interrupts off. The last CPU
 * is refused while a vCPU is resident, unless the caller leaves that alone.
 */
static long ask_release(bool leave_residents)
{
	unsigned long cr3 = __read_cr3();
	long r;

	write_cr3(__pa(caretaker.pgd));
	r = caretaker_call_with(CARETAKER_HC_RELEASE, leave_residents ? CARETAKER_ABANDON : 0).rax;
	write_cr3(cr3);
	return r;
}

static long leave_this_cpu(bool leave_residents)
{
	long r;

	this_cpu_write(caretaker_in, false);
	r = ask_release(leave_residents);
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
		return leave_this_cpu(m->leave_residents);
	r = smp_processor_id() == caretaker.fail_cpu ? -EIO : enter_this_cpu();
	if (r && !atomic_cmpxchg(&m->error, 0, r))
		m->culprit = smp_processor_id();
	wait_for_all(m);
	if (!atomic_read(&m->error))
		return 0;
	return this_cpu_read(caretaker_in) ? leave_this_cpu(false) : 0;
}

static int move_all(struct move *m)
{
	int r;

	lockdep_assert_held(&swallow_lock);
	lockdep_assert_cpus_held();
	m->cpus = num_online_cpus();
	r = stop_machine_cpuslocked(move_this_cpu, m, cpu_online_mask);
	return r ?: atomic_read(&m->error);
}

/**
 * caretaker_swallow() - have all CPUs enter
 *
 * Context: takes swallow_lock and cpus_read_lock(); stops the machine.
 * Return: 0; -EALREADY; -ENODEV: there is no caretaker; -EOPNOTSUPP: not in x2APIC mode,
 * or SEV-SNP is on; the error of a CPU that failed to enter, and then all have left again.
 */
int caretaker_swallow(void)
{
	struct move m = { .in = true };
	int r;

	if (caretaker.unusable)
		return -ENODEV;
	if (!x2apic_mode) {
		pr_err("not in x2APIC mode, without which INITs cannot be intercepted\n");
		return -EOPNOTSUPP;
	}
	if (cc_platform_has(CC_ATTR_HOST_SEV_SNP)) {
		pr_err("SEV-SNP is on, so pages of guests could not be touched below\n");
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
		pr_err("CPU %d: entry failed (%d), rolled back\n", m.culprit, r);
	else
		pr_info("active on %d CPUs\n", m.cpus);
	caretaker.fail_cpu = -1;
	return r;
}

static bool is_resident(unsigned int index)
{
	switch (caretaker_cpu_state(index)) {
	case CARETAKER_CPU_HELD:
	case CARETAKER_CPU_PARKED:
	case CARETAKER_CPU_LEAVING:
		return true;
	default:
		return false;
	}
}

/* Has the caretaker a vCPU, or is it about to get one? */
static bool has_residents(void)
{
	unsigned int i;

	lockdep_assert_cpus_held();
	for_each_possible_cpu(i)
		if (per_cpu(caretaker_hold, i))
			return true;
	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (is_resident(i))
			return true;
	return false;
}

/**
 * caretaker_release() - have all CPUs leave
 * @leave_residents: also if there are resident vCPUs; they could not be stopped or fetched
 * any more, so that is for the end of this kernel only
 *
 * Context: takes swallow_lock and cpus_read_lock(); stops the machine.
 * Return: 0; -EALREADY; -EBUSY: a vCPU is resident.
 */
int caretaker_release(bool leave_residents)
{
	struct move m = { .in = false, .leave_residents = leave_residents };
	int r;

	guard(mutex)(&swallow_lock);
	guard(cpus_read_lock)();
	if (!caretaker.swallowed)
		return -EALREADY;
	if (!leave_residents && has_residents())
		return -EBUSY;
	r = move_all(&m);
	caretaker.swallowed = false;
	pr_info("released %d CPUs\n", m.cpus);
	return r;
}

/* Is a CPU in code of the caretaker's for good, or until it is brought online? */
static bool has_stuck_cpus(void)
{
	unsigned int i;

	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (caretaker_cpu_state(i) == CARETAKER_CPU_DEAD ||
		    caretaker_cpu_state(i) == CARETAKER_CPU_HALTED)
			return true;
	return false;
}

/**
 * caretaker_replace() - load this kernel's image in place of the one that is there
 *
 * That one may be another build's. Guests of KVM's go on, on a host that is native
 * meanwhile.
 *
 * Context: takes swallow_lock and cpus_read_lock(); stops the machine.
 * Return: 0; -ENODEV; -EALREADY: not swallowed; -EBUSY: a vCPU is resident, or a CPU is in the image: dead, or
 * halted since its vCPU was fetched, or a kernel is loaded, which may not know this one; -ENOSPC: this
 * kernel's image needs more memory; an error of the new one, and then the host is native.
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
	if (has_residents() || has_stuck_cpus())
		return -EBUSY;
	if (caretaker_memory_size() > caretaker.size)
		return -ENOSPC;
	/* Whether the next kernel knows all of it was checked when that was loaded. */
	if (kexec_image && caretaker_features() != CARETAKER_FEATURES)
		return -EBUSY;

	/* From here on the old one is gone; if the new one fails, the host is native. */
	began = ktime_get_ns();
	move_all(&out);
	caretaker.unusable = caretaker_init_image();
	r = caretaker.unusable ? -ENODEV : move_all(&in);
	caretaker.swallowed = !r;
	caretaker.fail_cpu = -1;
	if (r)
		pr_err("the new one was refused (%d); the host is native\n", r);
	else
		pr_info("replaced; the host was native for %llu us\n",
			(ktime_get_ns() - began) / NSEC_PER_USEC);
	return r;
}

/**
 * caretaker_ap_starting() - have a CPU that comes online enter, if the host is swallowed
 *
 * Context: on that CPU, before it reports itself alive; interrupts are off.
 * Return: false if it must not come online.
 */
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

/**
 * caretaker_attach_this_cpu() - note that the boot CPU is below already
 *
 * Context: boot, with one CPU online: this kernel was entered by a swallowed one.
 */
void __init caretaker_attach_this_cpu(void)
{
	this_cpu_write(caretaker_in, true);
	caretaker.swallowed = true;
}

/**
 * caretaker_cpu_dies() - have a CPU that goes offline leave, so that an INIT reaches it
 *
 * Unless it is given to the caretaker, see caretaker_cpu_dead().
 *
 * Context: on that CPU; interrupts are off.
 */
void caretaker_cpu_dies(void)
{
	if (this_cpu_read(caretaker_in) && !this_cpu_read(caretaker_hold))
		leave_this_cpu(false);
}

/**
 * caretaker_cpu_dead() - give an offline CPU to the caretaker, if it has a vCPU to run
 *
 * Context: on that CPU, after it was reported dead. Returns if there is no vCPU, or
 * if the vCPU was refused.
 */
void caretaker_cpu_dead(void)
{
	unsigned long vcpu = this_cpu_read(caretaker_hold);

	if (!vcpu)
		return;
	this_cpu_write(caretaker_hold_error, caretaker_call(vcpu | CARETAKER_HC_HOLD).rax);
	leave_this_cpu(false);
}

/**
 * caretaker_emergency() - have this CPU leave, if it is below
 *
 * Context: a crash; any, NMI included.
 */
void caretaker_emergency(void)
{
	this_cpu_write(caretaker_in, false);
	ask_release(true);
}
