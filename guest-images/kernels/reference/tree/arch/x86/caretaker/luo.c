// SPDX-License-Identifier: GPL-2.0-only
/*
 * LUO's handler for files of /dev/caretaker: a resident vCPU goes to the next kernel. See
 * Documentation/virt/caretaker.rst.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/anon_inodes.h>
#include <linux/bitmap.h>
#include <linux/cpu.h>
#include <linux/file.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <asm/smp.h>

#include "vcpu.h"

/**
 * struct preserved_vcpu - what the next kernel is told of a vCPU, in preserved memory
 * @version: CARETAKER_HANDOVER
 * @index: number of its CPU, as the caretaker knows it
 * @apic_id: of its CPU, by which the next kernel finds it
 * @size: of this structure
 * @record: what does not change while it is resident
 */
struct preserved_vcpu {
	u32 version;
	u32 index;
	u32 apic_id;
	u32 size;
	struct caretaker_record record;
};

static_assert((CARETAKER_HANDOVER & 0xff) == CARETAKER_RECORD_VERSION);

static DEFINE_MUTEX(preserved_lock);
static LIST_HEAD(preserved_vcpus);

static bool can_preserve(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &caretaker_vcpu_fops;
}

/* The caretaker's memory and its window are preserved as long as any vCPU is. */
static int preserve_caretaker(struct vcpu_file *vcpu)
{
	struct page *window = pfn_to_page(PHYS_PFN(caretaker.window_pa));
	struct page *memory = pfn_to_page(PHYS_PFN(caretaker.pa));
	int err = 0;

	guard(mutex)(&preserved_lock);
	if (list_empty(&preserved_vcpus)) {
		err = kho_preserve_pages(memory, caretaker.size >> PAGE_SHIFT);
		if (err)
			return err;
		err = kho_preserve_pages(window, PFN_UP(sizeof(*caretaker.window)));
		if (err)
			kho_unpreserve_pages(memory, caretaker.size >> PAGE_SHIFT);
	}
	if (!err)
		list_add(&vcpu->preserved, &preserved_vcpus);
	return err;
}

static void unpreserve_caretaker(struct vcpu_file *vcpu)
{
	guard(mutex)(&preserved_lock);
	list_del(&vcpu->preserved);
	if (!list_empty(&preserved_vcpus))
		return;
	kho_unpreserve_pages(pfn_to_page(PHYS_PFN(caretaker.pa)), caretaker.size >> PAGE_SHIFT);
	kho_unpreserve_pages(pfn_to_page(PHYS_PFN(caretaker.window_pa)),
			     PFN_UP(sizeof(*caretaker.window)));
}

static int preserve(struct liveupdate_file_op_args *args)
{
	struct vcpu_file *vcpu = args->file->private_data;
	struct preserved_vcpu *saved;
	int err;

	guard(mutex)(&vcpu->lock);
	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return -EINVAL;
	saved = kho_alloc_preserve(sizeof(*saved));
	if (IS_ERR(saved))
		return PTR_ERR(saved);
	err = preserve_caretaker(vcpu);
	if (err) {
		kho_unpreserve_free(saved);
		return err;
	}
	saved->version = CARETAKER_HANDOVER;
	saved->size = sizeof(*saved);
	saved->index = vcpu->index;
	saved->apic_id = caretaker.window->cpu[vcpu->index].apic_id;
	saved->record = *vcpu->record;
	args->serialized_data = virt_to_phys(saved);
	return 0;
}

static void unpreserve(struct liveupdate_file_op_args *args)
{
	kho_unpreserve_free(phys_to_virt(args->serialized_data));
	unpreserve_caretaker(args->file->private_data);
}

/* vCPUs of a guest go together: IPIs between them would be lost otherwise. */
static bool all_preserved(const struct vcpu_file *one)
{
	struct vcpu_file *vcpu;
	u32 n = 0;

	guard(mutex)(&preserved_lock);
	list_for_each_entry(vcpu, &preserved_vcpus, preserved)
		n += vcpu->guest == one->guest;
	return n == one->members;
}

/* Why it cannot go to the kernel that is loaded; NULL if it can. */
static const char *obstacle(const struct vcpu_file *vcpu)
{
	lockdep_assert_held(&vcpu->lock);
	if (!caretaker.swallowed)
		return "the host was released, with a vCPU that is preserved";
	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return "a vCPU that is preserved was stopped";
	if (!caretaker_memory_is_preserved(vcpu->memory))
		return "the memory of a vCPU is in no session";
	if (!all_preserved(vcpu))
		return "not all vCPUs of a guest are preserved";
	if (!kexec_image || !kexec_image->file_mode || !kexec_image->arch.unfit)
		return "the next kernel was not loaded with -s, and would not know of a vCPU";
	if (*kexec_image->arch.unfit && !(caretaker.mutant & CARETAKER_MUTANT_TRUSTING))
		return kexec_image->arch.unfit;
	return NULL;
}

/* The last step that can fail: after it the next kernel is entered. */
static int freeze(struct liveupdate_file_op_args *args)
{
	struct vcpu_file *vcpu = args->file->private_data;
	const char *why;

	guard(mutex)(&vcpu->lock);
	why = obstacle(vcpu);
	if (why) {
		pr_err("kexec refused: %s\n", why);
		return -ENOEXEC;
	}
	set_bit(vcpu->index, caretaker.preserved);
	return 0;
}

static void unfreeze(struct liveupdate_file_op_args *args)
{
	struct vcpu_file *vcpu = args->file->private_data;

	clear_bit(vcpu->index, caretaker.preserved);
}

static int index_of(u32 apic_id)
{
	unsigned int i;

	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (caretaker.window->cpu[i].apic_id == apic_id &&
		    (caretaker_cpu_state(i) == CARETAKER_CPU_HELD ||
		     caretaker_cpu_state(i) == CARETAKER_CPU_PARKED))
			return i;
	return -ENOENT;
}

static int cpu_of(u32 apic_id)
{
	int cpu;

	for_each_present_cpu(cpu)
		if (cpu_physical_id(cpu) == apic_id)
			return cpu;
	return -1;
}

/* Stop it, and fetch its state; its CPU comes online when the session is finished. */
static struct vcpu_file *take_back(const struct preserved_vcpu *saved)
{
	struct vcpu_file *vcpu;
	int index, err;

	if (!caretaker.found || saved->version != CARETAKER_HANDOVER || saved->size != sizeof(*saved))
		return ERR_PTR(-EOPNOTSUPP);
	index = index_of(saved->apic_id);
	if (index < 0)
		return ERR_PTR(index);
	vcpu = caretaker_new_vcpu();
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->record = kmemdup(&saved->record, sizeof(saved->record), GFP_KERNEL);
	err = vcpu->record ? caretaker_fetch(index, vcpu->record) : -ENOMEM;
	if (err) {
		kfree(vcpu->record);
		kfree(vcpu);
		return ERR_PTR(err);
	}
	vcpu->index = index;
	vcpu->cpu = cpu_of(saved->apic_id);
	vcpu->state = CARETAKER_VCPU_STOPPED;
	return vcpu;
}

static int retrieve(struct liveupdate_file_op_args *args)
{
	struct preserved_vcpu *saved = phys_to_virt(args->serialized_data);
	struct vcpu_file *vcpu = take_back(saved);
	struct file *file;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	file = anon_inode_getfile("[caretaker-vcpu]", &caretaker_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		caretaker_online_cpu(vcpu);
		kfree(vcpu->record);
		kfree(vcpu);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD;
	args->file = file;
	return 0;
}

/* Asked of all files before any is finished: a vCPU stops before its memory is freed. */
static bool can_finish(struct liveupdate_file_op_args *args)
{
	struct preserved_vcpu *saved = phys_to_virt(args->serialized_data);
	int index, err;

	if (args->retrieve_status > 0 || !caretaker.found)
		return true;
	index = index_of(saved->apic_id);
	if (index < 0)
		return true;
	err = caretaker_fetch(index, NULL);
	pr_notice("the vCPU on CPU %u was not retrieved, and nobody has it: %s\n", index,
		  err ? "it cannot be stopped" : "stopped");
	return !err;
}

static void finish(struct liveupdate_file_op_args *args)
{
	struct preserved_vcpu *saved = phys_to_virt(args->serialized_data);
	int cpu = cpu_of(saved->apic_id);

	if (cpu >= 0 && !cpu_online(cpu) && add_cpu(cpu))
		pr_warn("CPU %d cannot be brought online\n", cpu);
	kho_restore_free(saved);
}

static const struct liveupdate_file_ops luo_ops = {
	.owner = THIS_MODULE,
	.retrieved_once = true,
	.can_preserve = can_preserve,
	.preserve = preserve,
	.unpreserve = unpreserve,
	.freeze = freeze,
	.unfreeze = unfreeze,
	.retrieve = retrieve,
	.can_finish = can_finish,
	.finish = finish,
};

static struct liveupdate_file_handler luo_handler = {
	.ops = &luo_ops,
	.compatible = "caretaker-vcpu-v1",
};

static int __init caretaker_luo(void)
{
	int err;

	if (!caretaker_ready())
		return 0;
	err = liveupdate_register_file_handler(&luo_handler);
	if (err && err != -EOPNOTSUPP)
		pr_err("vCPUs cannot be preserved: %d\n", err);
	return 0;
}
late_initcall(caretaker_luo);
