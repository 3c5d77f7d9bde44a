// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/caretaker: a file for each vCPU that lives on a CPU which Linux gave away,
 * and how LUO takes it to the next kernel. See Documentation/virt/caretaker.rst.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/anon_inodes.h>
#include <linux/cpu.h>
#include <linux/file.h>
#include <linux/init.h>
#include <linux/iopoll.h>
#include <linux/kexec.h>
#include <linux/kexec_handover.h>
#include <linux/liveupdate.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/shmem_fs.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/tsc.h>

#include "caretaker.h"
#include "record.h"

#define STEP_US		500
#define PATIENCE_US	(5 * USEC_PER_SEC)
#define VCPU_ORDER	get_order(CARETAKER_VCPU_BYTES)

struct vcpu {
	struct mutex lock;
	u32 state;			/* CARETAKER_VCPU_* but PARKED, which is RUNS here */
	unsigned int index;		/* of its CPU, as the caretaker knows it */
	int cpu;			/* as Linux does, and is to have it back; or -1 */
	struct caretaker_record *record;
	struct file *memory;
	struct folio **folios;
	long nfolios;
};

/* What the next kernel is told of one; in memory that is preserved. */
struct kept {
	u32 version;
	u32 index;
	u32 apic_id;
	u32 size;
	struct caretaker_record record;
};

#define KEPT_VERSION	(CARETAKER_ABI << 8 | CARETAKER_RECORD_VERSION)

static DEFINE_MUTEX(kept_lock);
static unsigned int kept_count;

/* Is this CPU the caretaker's? Then it must not be started. */
bool caretaker_has(unsigned int apic_id)
{
	unsigned int i;

	if (!caretaker_ready())
		return false;
	for (i = 0; i < CARETAKER_MAX_CPUS; i++)
		if (caretaker.window->cpu[i].apic_id == apic_id &&
		    caretaker_cpu_state(i) >= CARETAKER_CPU_DEAD)
			return true;
	return false;
}

static int wait_for(unsigned int index, u32 wanted)
{
	u32 state;

	return read_poll_timeout(caretaker_cpu_state, state, state == wanted,
				 STEP_US, PATIENCE_US, false, index);
}

/* Stop the vCPU of a CPU, and have it; the CPU is free then. */
static int fetch(unsigned int index, struct caretaker_record *into)
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
	err = err ?: wait_for(index, CARETAKER_CPU_PARKED);
	if (err)
		goto out;
	r = caretaker_call_with(page_to_phys(pages) | CARETAKER_HC_FETCH, index).rax;
	err = r ?: wait_for(index, CARETAKER_CPU_OUT);
	if (!r && into)
		caretaker_to_record(into, v);
out:
	__free_pages(pages, VCPU_ORDER);
	return err;
}

/* Nobody will have them: they must not run when their memory is somebody else's. */
void caretaker_discard_vcpus(void)
{
	unsigned int i;

	for (i = 0; i < CARETAKER_MAX_CPUS; i++) {
		u32 state = caretaker_cpu_state(i);

		if (state != CARETAKER_CPU_HELD && state != CARETAKER_CPU_PARKED)
			continue;
		pr_info("the vCPU on CPU %u was not preserved: %s\n", i,
			fetch(i, NULL) ? "it could not be stopped" : "stopped");
	}
}

static void give_cpu_back(struct vcpu *vcpu)
{
	int err;

	if (vcpu->cpu < 0)
		return;
	err = add_cpu(vcpu->cpu);
	if (err)
		pr_warn("CPU %d does not come back: %d\n", vcpu->cpu, err);
	vcpu->cpu = -1;
}

static void drop_memory(struct vcpu *vcpu)
{
	if (vcpu->folios)
		unpin_folios(vcpu->folios, vcpu->nfolios);
	kvfree(vcpu->folios);
	if (vcpu->memory)
		fput(vcpu->memory);
	vcpu->folios = NULL;
	vcpu->memory = NULL;
}

/* The session has the memory: all its pages are there, and none will go. */
static bool memory_is_kept(struct file *file)
{
	return shmem_file(file) && (SHMEM_I(file_inode(file))->flags & SHMEM_F_MAPPING_FROZEN);
}

struct lists {
	struct caretaker_vcpu *v;
	struct caretaker_memory *page;
	unsigned int runs;
};

static int add_run(struct lists *l, u64 gpa, u64 pa)
{
	struct caretaker_memory *last = l->runs ? &l->page[l->runs - 1] : NULL;

	if (last) {
		u64 pages = last->pa & ~PAGE_MASK;

		if (pages < PAGE_SIZE - 1 && last->gpa + pages * PAGE_SIZE == gpa &&
		    (last->pa & PAGE_MASK) + pages * PAGE_SIZE == pa) {
			last->pa++;
			return 0;
		}
	}
	if (!l->page || l->runs == CARETAKER_RUNS) {
		if (l->v->lists == CARETAKER_LISTS)
			return -E2BIG;
		l->page = (void *)get_zeroed_page(GFP_KERNEL);
		if (!l->page)
			return -ENOMEM;
		l->v->list[l->v->lists++] = __pa(l->page);
		l->runs = 0;
	}
	l->page[l->runs++] = (struct caretaker_memory){ .gpa = gpa, .pa = pa | 1 };
	return 0;
}

static int add_region(struct vcpu *vcpu, struct lists *l, const struct caretaker_region *region)
{
	u64 size = i_size_read(file_inode(vcpu->memory)), at;
	long i;

	if ((region->gpa | region->offset | region->size) & ~PAGE_MASK || !region->size ||
	    region->offset > size || region->size > size - region->offset)
		return -EINVAL;
	/* Folios are in order, and there are no holes. */
	for (i = 0, at = 0; i < vcpu->nfolios; i++) {
		struct folio *folio = vcpu->folios[i];
		u64 n, from = (u64)folio->index << PAGE_SHIFT;

		for (n = 0; n < folio_size(folio); n += PAGE_SIZE) {
			at = from + n;
			if (at < region->offset || at - region->offset >= region->size)
				continue;
			if (add_run(l, region->gpa + at - region->offset,
				    PFN_PHYS(folio_pfn(folio)) + n))
				return -E2BIG;
		}
	}
	return 0;
}

static int pin_memory(struct vcpu *vcpu)
{
	u64 size = i_size_read(file_inode(vcpu->memory));
	unsigned long most = size >> PAGE_SHIFT;
	pgoff_t unused;

	vcpu->folios = kvmalloc_array(most, sizeof(*vcpu->folios), GFP_KERNEL);
	if (!vcpu->folios)
		return -ENOMEM;
	vcpu->nfolios = memfd_pin_folios(vcpu->memory, 0, size - 1, vcpu->folios, most, &unused);
	if (vcpu->nfolios < 0) {
		kvfree(vcpu->folios);
		vcpu->folios = NULL;
		return vcpu->nfolios;
	}
	return 0;
}

static void free_lists(struct caretaker_vcpu *v)
{
	while (v->lists)
		free_page((unsigned long)__va(v->list[--v->lists]));
}

/* Take the CPU off-line; the last that it does is to go away with the vCPU. */
static int give_cpu_away(struct vcpu *vcpu, unsigned int cpu, phys_addr_t pa)
{
	long refused = 0;
	int err;

	per_cpu(caretaker_hold_error, cpu) = 0;
	per_cpu(caretaker_hold, cpu) = pa;
	err = remove_cpu(cpu);
	if (err) {
		per_cpu(caretaker_hold, cpu) = 0;
		return err;
	}
	vcpu->cpu = cpu;
	err = read_poll_timeout(READ_ONCE, refused,
				refused || caretaker_cpu_state(cpu) == CARETAKER_CPU_HELD ||
				caretaker_cpu_state(cpu) == CARETAKER_CPU_PARKED,
				STEP_US, PATIENCE_US, false, per_cpu(caretaker_hold_error, cpu));
	per_cpu(caretaker_hold, cpu) = 0;
	if (!err && !refused)
		return 0;
	give_cpu_back(vcpu);
	return refused ?: err;
}

static int reside(struct vcpu *vcpu, const struct caretaker_reside *args)
{
	struct page *pages = alloc_pages(GFP_KERNEL | __GFP_ZERO, VCPU_ORDER);
	struct lists lists = { };
	u32 i;
	int err;

	if (!pages)
		return -ENOMEM;
	lists.v = page_address(pages);
	err = caretaker_from_record(lists.v, vcpu->record);
	if (err)
		goto out;
	lists.v->tsc_khz = vcpu->record->tsc_khz ?: tsc_khz;
	lists.v->group = (unsigned long)file_inode(vcpu->memory);
	lists.v->members = args->members;
	lists.v->timer_khz = lapic_timer_period * HZ / 1000;
	err = pin_memory(vcpu);
	for (i = 0; !err && i < args->nregions; i++)
		err = add_region(vcpu, &lists, &args->regions[i]);
	if (!err)
		err = give_cpu_away(vcpu, args->cpu, page_to_phys(pages));
	if (!err) {
		vcpu->index = args->cpu;
		vcpu->state = CARETAKER_VCPU_RUNS;
	}
out:
	free_lists(lists.v);
	__free_pages(pages, VCPU_ORDER);
	return err;
}

static int do_reside(struct vcpu *vcpu, const void __user *from)
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
	else if (!memory_is_kept(vcpu->memory))
		err = -ENOTUNIQ;
	else
		err = reside(vcpu, &args);
	if (err) {
		drop_memory(vcpu);
		kfree(vcpu->record);
		vcpu->record = NULL;
	}
	return err;
}

static int do_stop(struct vcpu *vcpu)
{
	int err;

	if (vcpu->state != CARETAKER_VCPU_RUNS)
		return -EINVAL;
	err = fetch(vcpu->index, vcpu->record);
	if (err)
		return err;
	vcpu->state = CARETAKER_VCPU_STOPPED;
	drop_memory(vcpu);
	give_cpu_back(vcpu);
	return 0;
}

static int do_state(struct vcpu *vcpu, void __user *to)
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
	struct vcpu *vcpu = file->private_data;

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
	struct vcpu *vcpu = file->private_data;

	guard(mutex)(&vcpu->lock);
	if (vcpu->state != CARETAKER_VCPU_STOPPED)
		return -EBUSY;
	return simple_read_from_buffer(to, n, at, vcpu->record, sizeof(*vcpu->record));
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct vcpu *vcpu = file->private_data;

	if (vcpu->state == CARETAKER_VCPU_RUNS && fetch(vcpu->index, NULL))
		pr_err("the vCPU on CPU %u cannot be stopped: its memory is lost\n", vcpu->index);
	else
		drop_memory(vcpu);
	give_cpu_back(vcpu);
	kfree(vcpu->record);
	kfree(vcpu);
	return 0;
}

static struct vcpu *new_vcpu(void)
{
	struct vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL);

	if (vcpu) {
		mutex_init(&vcpu->lock);
		vcpu->cpu = -1;
	}
	return vcpu;
}

static int vcpu_open(struct inode *inode, struct file *file)
{
	file->private_data = new_vcpu();
	return file->private_data ? 0 : -ENOMEM;
}

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.open = vcpu_open,
	.release = vcpu_release,
	.read = vcpu_read,
	.unlocked_ioctl = vcpu_ioctl,
};

/*
 * Over a kexec.
 */

static bool may_keep(struct liveupdate_file_handler *handler, struct file *file)
{
	return file->f_op == &vcpu_fops;
}

/* The caretaker's memory and its window, as long as any vCPU is kept. */
static int keep_caretaker(void)
{
	struct page *window = pfn_to_page(PHYS_PFN(caretaker.window_pa));
	struct page *memory = pfn_to_page(PHYS_PFN(caretaker.pa));
	int err = 0;

	guard(mutex)(&kept_lock);
	if (!kept_count) {
		err = kho_preserve_pages(memory, caretaker.size >> PAGE_SHIFT);
		if (err)
			return err;
		err = kho_preserve_pages(window, PFN_UP(sizeof(*caretaker.window)));
		if (err)
			kho_unpreserve_pages(memory, caretaker.size >> PAGE_SHIFT);
	}
	kept_count += !err;
	return err;
}

static void unkeep_caretaker(void)
{
	guard(mutex)(&kept_lock);
	if (--kept_count)
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
	err = keep_caretaker();
	if (err) {
		kho_unpreserve_free(kept);
		return err;
	}
	kept->version = KEPT_VERSION;
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
	unkeep_caretaker();
}

/* The last that can be refused: after this the next kernel comes. */
static int freeze(struct liveupdate_file_op_args *args)
{
	struct vcpu *vcpu = args->file->private_data;

	guard(mutex)(&vcpu->lock);
	if (vcpu->state != CARETAKER_VCPU_RUNS || !memory_is_kept(vcpu->memory)) {
		pr_err("kexec refused: a vCPU was stopped, or its memory is in no session\n");
		return -EINVAL;
	}
	if (!kexec_image || !kexec_image->file_mode) {
		pr_err("kexec refused: loaded without -s, the next kernel would not know of a vCPU\n");
		return -EINVAL;
	}
	caretaker.stays = true;
	return 0;
}

static void unfreeze(struct liveupdate_file_op_args *args)
{
	caretaker.stays = false;
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

	if (!caretaker.found || kept->version != KEPT_VERSION || kept->size != sizeof(*kept))
		return ERR_PTR(-EOPNOTSUPP);
	index = index_of(kept->apic_id);
	if (index < 0)
		return ERR_PTR(index);
	vcpu = new_vcpu();
	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->record = kmemdup(&kept->record, sizeof(kept->record), GFP_KERNEL);
	err = vcpu->record ? fetch(index, vcpu->record) : -ENOMEM;
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
	file = anon_inode_getfile("[caretaker-vcpu]", &vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		give_cpu_back(vcpu);
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
	int index;

	if (args->retrieve_status > 0 || !caretaker.found)
		return true;
	index = index_of(kept->apic_id);
	return index < 0 || !fetch(index, NULL);
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

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "caretaker",
	.fops = &vcpu_fops,
	.mode = 0600,
};

static int __init caretaker_vcpus(void)
{
	int err;

	if (!caretaker_ready())
		return 0;
	err = misc_register(&device);
	if (err)
		return err;
	err = liveupdate_register_file_handler(&luo_handler);
	if (err && err != -EOPNOTSUPP)
		pr_err("vCPUs cannot be preserved: %d\n", err);
	return 0;
}
late_initcall(caretaker_vcpus);
