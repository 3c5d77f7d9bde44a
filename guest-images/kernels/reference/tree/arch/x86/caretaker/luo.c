// SPDX-License-Identifier: GPL-2.0-only
/*
 * How LUO takes a vCPU that lives with the caretaker to the next kernel. See
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

/* What the next kernel is told of one; in memory that is preserved. */
struct kept {
	u32 version;
	u32 index;
	u32 apic_id;
	u32 size;
	struct caretaker_record record;
};

static_assert((CARETAKER_HANDOVER & 0xff) == CARETAKER_RECORD_VERSION);

static DEFINE_MUTEX(kept_lock);
static LIST_HEAD(kept_vcpus);
static DECLARE_BITMAP(going, CARETAKER_MAX_CPUS);	/* with the kernel that is next */

static bool may_keep(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &caretaker_vcpu_fops;
}

/* Is the vCPU of this CPU to outlive this kernel? */
bool caretaker_is_kept(unsigned int index)
{
	return test_bit(index, going);
}

/* The caretaker's memory and its window, as long as any vCPU is kept. */
static int keep_caretaker(struct vcpu *vcpu)
{
	struct page *window = pfn_to_page(PHYS_PFN(caretaker.window_pa));
	struct page *memory = pfn_to_page(PHYS_PFN(caretaker.pa));
	int err = 0;

	guard(mutex)(&kept_lock);
	if (list_empty(&kept_vcpus)) {
		err = kho_preserve_pages(memory, caretaker.size >> PAGE_SHIFT);
		if (err)
			return err;
		err = kho_preserve_pages(window, PFN_UP(sizeof(*caretaker.window)));
		if (err)
			kho_unpreserve_pages(memory, caretaker.size >> PAGE_SHIFT);
	}
	if (!err)
		list_add(&vcpu->kept, &kept_vcpus);
	return err;
}

static void unkeep_caretaker(struct vcpu *vcpu)
{
	guard(mutex)(&kept_lock);
	list_del(&vcpu->kept);
	if (!list_empty(&kept_vcpus))
		return;
	kho_unpreserve_pages(pfn_to_page(PHYS_PFN(caretaker.pa)), caretaker.size >> PAGE_SHIFT);
	kho_unpreserve_pages(pfn_to_page(PHYS_PFN(caretaker.window_pa)),
			     PFN_UP(sizeof(*caretaker.window)));
}

static int keep(struct liveupdate_file_op_args *args)
{
	struct vcpu *vcpu = args->file->private_data;
	struct kept *kept;
	int err;

	guard(mutex)(&vcpu->lock);
	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return -EINVAL;
	kept = kho_alloc_preserve(sizeof(*kept));
	if (IS_ERR(kept))
		return PTR_ERR(kept);
	err = keep_caretaker(vcpu);
	if (err) {
		kho_unpreserve_free(kept);
		return err;
	}
	kept->version = CARETAKER_HANDOVER;
	kept->size = sizeof(*kept);
	kept->index = vcpu->index;
	kept->apic_id = caretaker.window->cpu[vcpu->index].apic_id;
	kept->record = *vcpu->record;
	args->serialized_data = virt_to_phys(kept);
	return 0;
}

static void unkeep(struct liveupdate_file_op_args *args)
{
	kho_unpreserve_free(phys_to_virt(args->serialized_data));
	unkeep_caretaker(args->file->private_data);
}

/* Those of a guest go together, or not at all: IPIs between them would wait for ever. */
static bool all_are_kept(const struct vcpu *one)
{
	struct vcpu *vcpu;
	u32 n = 0;

	guard(mutex)(&kept_lock);
	list_for_each_entry(vcpu, &kept_vcpus, kept)
		n += vcpu->group == one->group;
	return n == one->members;
}

/* Why it cannot be taken to the kernel that is loaded; NULL if it can. */
static const char *obstacle(const struct vcpu *vcpu)
{
	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return "a vCPU that is preserved was stopped";
	if (!caretaker_memory_is_kept(vcpu->memory))
		return "the memory of a vCPU is in no session";
	if (!all_are_kept(vcpu))
		return "not all vCPUs of a guest are preserved";
	if (!kexec_image || !kexec_image->file_mode || !kexec_image->arch.unfit)
		return "the next kernel was not loaded with -s, and would not know of a vCPU";
	if (*kexec_image->arch.unfit && !(caretaker.mutant & CARETAKER_MUTANT_TRUSTING))
		return kexec_image->arch.unfit;
	return NULL;
}

/* The last that can be refused: after this the next kernel comes. */
static int freeze(struct liveupdate_file_op_args *args)
{
	struct vcpu *vcpu = args->file->private_data;
	const char *why;

	guard(mutex)(&vcpu->lock);
	why = obstacle(vcpu);
	if (why) {
		pr_err("kexec refused: %s\n", why);
		return -ENOEXEC;
	}
	set_bit(vcpu->index, going);
	caretaker.stays = true;
	return 0;
}

static void unfreeze(struct liveupdate_file_op_args *args)
{
	struct vcpu *vcpu = args->file->private_data;

	clear_bit(vcpu->index, going);
	caretaker.stays = !bitmap_empty(going, CARETAKER_MAX_CPUS);
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

/* Stop it, and have what it is now; its CPU comes back when the session is finished. */
static struct vcpu *take_back(const struct kept *kept)
{
	struct vcpu *vcpu;
	int index, err;

	if (!caretaker.found || kept->version != CARETAKER_HANDOVER || kept->size != sizeof(*kept))
		return ERR_PTR(-EOPNOTSUPP);
	index = index_of(kept->apic_id);
	if (index < 0)
		return ERR_PTR(index);
	vcpu = caretaker_new_vcpu();
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->record = kmemdup(&kept->record, sizeof(kept->record), GFP_KERNEL);
	err = vcpu->record ? caretaker_fetch(index, vcpu->record) : -ENOMEM;
	if (err) {
		kfree(vcpu->record);
		kfree(vcpu);
		return ERR_PTR(err);
	}
	vcpu->index = index;
	vcpu->cpu = cpu_of(kept->apic_id);
	vcpu->state = CARETAKER_VCPU_STOPPED;
	return vcpu;
}

static int retrieve(struct liveupdate_file_op_args *args)
{
	struct kept *kept = phys_to_virt(args->serialized_data);
	struct vcpu *vcpu = take_back(kept);
	struct file *file;

	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	file = anon_inode_getfile("[caretaker-vcpu]", &caretaker_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		caretaker_give_cpu_back(vcpu);
		kfree(vcpu->record);
		kfree(vcpu);
		return PTR_ERR(file);
	}
	file->f_mode |= FMODE_LSEEK | FMODE_PREAD;
	args->file = file;
	return 0;
}

/* Asked of all files before any is finished: memory goes only after who runs in it. */
static bool can_finish(struct liveupdate_file_op_args *args)
{
	struct kept *kept = phys_to_virt(args->serialized_data);
	int index, err;

	if (args->retrieve_status > 0 || !caretaker.found)
		return true;
	index = index_of(kept->apic_id);
	if (index < 0)
		return true;
	err = caretaker_fetch(index, NULL);
	pr_notice("the vCPU on CPU %u was not retrieved, and nobody has it: %s\n", index,
		  err ? "it cannot be stopped" : "stopped");
	return !err;
}

static void finish(struct liveupdate_file_op_args *args)
{
	struct kept *kept = phys_to_virt(args->serialized_data);
	int cpu = cpu_of(kept->apic_id);

	if (cpu >= 0 && !cpu_online(cpu) && add_cpu(cpu))
		pr_warn("CPU %d does not come back\n", cpu);
	kho_restore_free(kept);
}

static const struct liveupdate_file_ops luo_ops = {
	.owner = THIS_MODULE,
	.retrieved_once = true,
	.can_preserve = may_keep,
	.preserve = keep,
	.unpreserve = unkeep,
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

void __init caretaker_keeps_vcpus(void)
{
	int err = liveupdate_register_file_handler(&luo_handler);

	if (err && err != -EOPNOTSUPP)
		pr_err("vCPUs cannot be preserved: %d\n", err);
}
