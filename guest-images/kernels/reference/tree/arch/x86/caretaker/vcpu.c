// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/caretaker: a file for each vCPU that is resident on a CPU of the caretaker's.
 * See Documentation/virt/caretaker.rst.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/anon_inodes.h>
#include <linux/cpu.h>
#include <linux/file.h>
#include <linux/init.h>
#include <linux/iopoll.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/tsc.h>

#include "record.h"
#include "vcpu.h"

#define STEP_US		500
#define PATIENCE_US	(5 * USEC_PER_SEC)
#define FOR_EVER	0
#define VCPU_ORDER	get_order(CARETAKER_VCPU_BYTES)

/**
 * caretaker_has() - has the caretaker this CPU?
 * @apic_id: of the CPU
 *
 * Return: true if it has: the CPU must not be started.
 */
bool caretaker_has(unsigned int apic_id)
{
	unsigned int i;

	if (!caretaker_ready())
		return false;
	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (caretaker.window->cpu[i].apic_id == apic_id &&
		    caretaker_cpu_state(i) >= CARETAKER_CPU_DEAD &&
		    caretaker_cpu_state(i) != CARETAKER_CPU_HALTED)
			return true;
	return false;
}

/* How long a vCPU takes to park depends on it and its CPU: this may give up. */
static int wait_for_parked(unsigned int index)
{
	u32 state;

	return read_poll_timeout(caretaker_cpu_state, state, state == CARETAKER_CPU_PARKED,
				 STEP_US, PATIENCE_US, false, index);
}

/*
 * The two that follow have no time-out: the CPU is bound to get there, however little it
 * runs, and until it does it uses what the caller would free.
 */
static void wait_for_halted(unsigned int index)
{
	u32 state;

	read_poll_timeout(caretaker_cpu_state, state,
			  state == CARETAKER_CPU_HALTED || state == CARETAKER_CPU_DEAD,
			  STEP_US, FOR_EVER, false, index);
}

static bool has_entered(unsigned int cpu)
{
	u32 state = caretaker_cpu_state(cpu);

	return state == CARETAKER_CPU_HELD || state == CARETAKER_CPU_PARKED ||
	       state == CARETAKER_CPU_DEAD;
}

static long wait_for_hold(unsigned int cpu)
{
	long refused;

	read_poll_timeout(READ_ONCE, refused, refused || has_entered(cpu), STEP_US, FOR_EVER,
			  false, per_cpu(caretaker_hold_error, cpu));
	return refused;
}

/**
 * caretaker_fetch() - stop a vCPU, and take it from the caretaker
 * @index: number of its CPU, as the caretaker knows it
 * @into: the record that it came from, which is updated; or NULL to discard it
 *
 * The CPU can be brought online afterwards.
 *
 * Context: may sleep; 5 seconds for the vCPU to park.
 * Return: 0; -ENOMEM; -EINVAL: the CPU has none; -ETIMEDOUT: it does not park, and runs on.
 */
int caretaker_fetch(unsigned int index, struct caretaker_record *into)
{
	struct caretaker_vcpu *v;
	struct page *pages;
	long r;
	int err;

	pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, VCPU_ORDER);
	if (!pages)
		return -ENOMEM;
	v = page_address(pages);
	err = caretaker_call_with(CARETAKER_HC_STOP, index).rax;
	err = err ?: wait_for_parked(index);
	if (err)
		goto out;
	r = caretaker_call_with(page_to_phys(pages) | CARETAKER_HC_FETCH, index).rax;
	err = r;
	if (!r)
		wait_for_halted(index);
	if (!r && into)
		caretaker_to_record(into, v);
out:
	__free_pages(pages, VCPU_ORDER);
	return err;
}

/**
 * caretaker_discard_vcpus() - stop all vCPUs that do not go to the next kernel
 *
 * They must not run when their memory is used for something else.
 *
 * Context: reboot or kexec, after LUO has frozen its sessions.
 */
void caretaker_discard_vcpus(void)
{
	unsigned int i;

	for (i = 0; i < CARETAKER_MAX_CPUS; i++) {
		u32 state = caretaker_cpu_state(i);

		if (test_bit(i, caretaker.preserved) ||
		    (state != CARETAKER_CPU_HELD && state != CARETAKER_CPU_PARKED))
			continue;
		pr_notice("the vCPU on CPU %u was not preserved: %s\n", i,
			  caretaker_fetch(i, NULL) ? "it could not be stopped" : "stopped");
	}
}

/**
 * caretaker_online_cpu() - bring the CPU of a vCPU online
 * @vcpu: the vCPU; the caretaker does not have its CPU any more
 *
 * Context: may sleep; the file's mutex is held, or no other code has the file.
 */
void caretaker_online_cpu(struct vcpu_file *vcpu)
{
	int err;

	if (vcpu->cpu < 0)
		return;
	err = add_cpu(vcpu->cpu);
	if (err)
		pr_warn("CPU %d cannot be brought online: %d\n", vcpu->cpu, err);
	vcpu->cpu = -1;
}

/* Offline the CPU; the last that it does is to enter the caretaker with the vCPU. */
static int offline_cpu_with(struct vcpu_file *vcpu, unsigned int cpu, phys_addr_t pa)
{
	long refused;
	int err;

	lockdep_assert_held(&vcpu->lock);
	per_cpu(caretaker_hold_error, cpu) = 0;
	per_cpu(caretaker_hold, cpu) = pa;
	err = remove_cpu(cpu);
	if (err) {
		per_cpu(caretaker_hold, cpu) = 0;
		return err;
	}
	vcpu->cpu = cpu;
	refused = wait_for_hold(cpu);
	per_cpu(caretaker_hold, cpu) = 0;
	if (refused)
		caretaker_online_cpu(vcpu);
	return refused;
}

static int reside(struct vcpu_file *vcpu, const struct caretaker_reside *args)
{
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, VCPU_ORDER);
	struct caretaker_vcpu *v;
	int err;

	if (!pages)
		return -ENOMEM;
	v = page_address(pages);
	err = caretaker_from_record(v, vcpu->record);
	if (err)
		goto out;
	v->tsc_khz = vcpu->record->tsc_khz ?: tsc_khz;
	v->members = vcpu->members = args->members;
	v->timer_khz = lapic_timer_period * HZ / 1000;
	err = caretaker_list_memory(vcpu, v, args->regions, args->nregions);
	if (!err) {
		memcpy(v->guest, vcpu->guest->id, sizeof(v->guest));
		err = offline_cpu_with(vcpu, args->cpu, page_to_phys(pages));
	}
	if (!err) {
		vcpu->index = args->cpu;
		vcpu->state = CARETAKER_VCPU_RUNS;
	}
out:
	caretaker_free_lists(v);
	__free_pages(pages, VCPU_ORDER);
	return err;
}

static int do_reside(struct vcpu_file *vcpu, const void __user *from)
{
	struct caretaker_reside args;
	int err;

	if (copy_from_user(&args, from, sizeof(args)))
		return -EFAULT;
	if (!args.members || !args.nregions || args.nregions > CARETAKER_REGIONS)
		return -EINVAL;
	if (!caretaker.swallowed)
		return -ENODEV;
	if (args.cpu >= nr_cpu_ids || !cpu_online(args.cpu) || !args.cpu)
		return -ENXIO;
	if (vcpu->state != CARETAKER_VCPU_NONE || vcpu->memory)
		return -EBUSY;
	vcpu->record = memdup_user(u64_to_user_ptr(args.record), sizeof(*vcpu->record));
	if (IS_ERR(vcpu->record)) {
		err = PTR_ERR(vcpu->record);
		vcpu->record = NULL;
		return err;
	}
	vcpu->memory = fget(args.memory);
	if (!vcpu->memory)
		err = -EBADF;
	else if (!caretaker_memory_is_preserved(vcpu->memory))
		err = -ENOTUNIQ;
	else
		err = reside(vcpu, &args);
	if (err) {
		caretaker_unpin_memory(vcpu);
		kfree(vcpu->record);
		vcpu->record = NULL;
	}
	return err;
}

static int do_stop(struct vcpu_file *vcpu)
{
	int err;

	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return -EINVAL;
	err = caretaker_fetch(vcpu->index, vcpu->record);
	if (err)
		return err;
	vcpu->state = CARETAKER_VCPU_STOPPED;
	caretaker_unpin_memory(vcpu);
	caretaker_online_cpu(vcpu);
	return 0;
}

static int do_state(struct vcpu_file *vcpu, void __user *to)
{
	struct caretaker_state s = { .state = vcpu->state, .cpu = vcpu->index };

	if (s.state == CARETAKER_VCPU_RUNS) {
		const struct caretaker_cpu_status *w = &caretaker.window->cpu[vcpu->index];

		if (READ_ONCE(w->state) != CARETAKER_CPU_HELD)
			s.state = CARETAKER_VCPU_PARKED;
		s.entries = READ_ONCE(w->entries);
		s.exit_code = READ_ONCE(w->exit_code);
		s.exit_info_1 = READ_ONCE(w->exit_info_1);
		s.exit_info_2 = READ_ONCE(w->exit_info_2);
		s.rip = READ_ONCE(w->rip);
	}
	return copy_to_user(to, &s, sizeof(s)) ? -EFAULT : 0;
}

static long vcpu_ioctl(struct file *file, unsigned int what, unsigned long arg)
{
	struct vcpu_file *vcpu = file->private_data;

	guard(mutex)(&vcpu->lock);
	switch (what) {
	case CARETAKER_RESIDE:
		return do_reside(vcpu, (void __user *)arg);
	case CARETAKER_STOP:
		return do_stop(vcpu);
	case CARETAKER_STATE:
		return do_state(vcpu, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

static ssize_t vcpu_read(struct file *file, char __user *to, size_t n, loff_t *at)
{
	struct vcpu_file *vcpu = file->private_data;

	guard(mutex)(&vcpu->lock);
	if (vcpu->state != CARETAKER_VCPU_STOPPED)
		return -EBUSY;
	return simple_read_from_buffer(to, n, at, vcpu->record, sizeof(*vcpu->record));
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu_file *vcpu = file->private_data;
	int err = 0;

	if (vcpu->state == CARETAKER_VCPU_RUNS) {
		err = caretaker_fetch(vcpu->index, NULL);
		pr_notice("the vCPU on CPU %u was closed, and nobody has it: %s\n", vcpu->index,
			  err ? "it cannot be stopped, and its memory is lost" : "stopped");
	}
	if (!err)
		caretaker_unpin_memory(vcpu);
	caretaker_online_cpu(vcpu);
	kfree(vcpu->record);
	kfree(vcpu);
	return 0;
}

/**
 * caretaker_new_vcpu() - make what a file of /dev/caretaker has
 *
 * Return: a vCPU that has no state yet, or NULL.
 */
struct vcpu_file *caretaker_new_vcpu(void)
{
	struct vcpu_file *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL);

	if (vcpu) {
		mutex_init(&vcpu->lock);
		vcpu->cpu = -1;
	}
	return vcpu;
}

static int vcpu_open(struct inode *inode, struct file *file)
{
	file->private_data = caretaker_new_vcpu();
	return file->private_data ? 0 : -ENOMEM;
}

const struct file_operations caretaker_vcpu_fops = {
	.owner = THIS_MODULE,
	.open = vcpu_open,
	.release = vcpu_release,
	.read = vcpu_read,
	.unlocked_ioctl = vcpu_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "caretaker",
	.fops = &caretaker_vcpu_fops,
	.mode = 0600,
};

static int __init caretaker_vcpus(void)
{
	return caretaker_ready() ? misc_register(&device) : 0;
}
late_initcall(caretaker_vcpus);
