// SPDX-License-Identifier: GPL-2.0-only
/*
 * The caretaker's memory: reserved early, when "caretaker=" asks for it, so
 * that it is one piece; mapped, filled and initialized before KVM starts.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/reboot.h>
#include <linux/sizes.h>
#include <asm/cpufeature.h>
#include <asm/e820/api.h>
#include <asm/init.h>
#include <asm/pgalloc.h>
#include <asm/tlbflush.h>

#include "caretaker.h"

struct caretaker caretaker = {
	.unusable = "not asked for: boot with caretaker=ready or caretaker=on",
	.fail_cpu = -1,
};
DEFINE_STATIC_KEY_FALSE(caretaker_key);
EXPORT_SYMBOL_GPL(caretaker_key);

static bool wanted __initdata;
static bool at_boot __initdata;

static int __init parse_caretaker(char *arg)
{
	if (!arg)
		return -EINVAL;
	at_boot = !strcmp(arg, "on");
	wanted = at_boot || !strcmp(arg, "ready");
	return wanted || !strcmp(arg, "off") ? 0 : -EINVAL;
}
early_param("caretaker", parse_caretaker);

#ifdef CONFIG_CARETAKER_MUTANT
static int __init parse_mutant(char *arg)
{
	if (!arg)
		return -EINVAL;
	if (!strcmp(arg, "open"))
		caretaker.mutant = CARETAKER_MUTANT_OPEN;
	else if (!strcmp(arg, "trusting"))
		caretaker.mutant = CARETAKER_MUTANT_TRUSTING;
	else if (!strcmp(arg, "inits"))
		caretaker.mutant = CARETAKER_MUTANT_INITS;
	return caretaker.mutant ? 0 : -EINVAL;
}
early_param("caretaker_mutant", parse_mutant);
#endif

/* Two page tables of all physical memory in leaves of 1 GiB, and some small ones. */
static unsigned long memory_size(void)
{
	unsigned long fixed = CARETAKER_HEAD->size + nr_cpu_ids * CARETAKER_HEAD->cpu_size;
	unsigned long leaves = 1ul << max(boot_cpu_data.x86_phys_bits - 39, 0);
	unsigned long tables = leaves + fixed / SZ_2M + 32;

	return ALIGN(fixed + 2 * PAGE_SIZE + 2 * tables * PAGE_SIZE, SZ_2M);
}

/* Is there one, from the kernel before this one? Then its memory is where it is. */
static bool __init find_below(void)
{
	struct caretaker_answer a = caretaker_call(CARETAKER_HC_INFO);

	if (a.rax || a.rbx != CARETAKER_MAGIC)
		return false;
	caretaker.unusable = "one of another version is below";
	if (a.rcx != CARETAKER_ABI)
		return true;
	a = caretaker_call(CARETAKER_HC_REGION);
	if (a.rax)
		return true;
	caretaker.pa = a.rbx;
	caretaker.size = a.rcx;
	caretaker.window_pa = a.rdx;
	memblock_reserve(caretaker.pa, caretaker.size);
	memblock_reserve(caretaker.window_pa, PAGE_ALIGN(sizeof(struct caretaker_window)));
	caretaker.found = true;
	caretaker.unusable = "not initialized";
	return true;
}

/* Whoever looks for System RAM to lay a kernel on, is not to find it: nor to dump it. */
static void __init hide_from_loaders(void)
{
	e820__range_update(caretaker.pa, caretaker.size, E820_TYPE_RAM, E820_TYPE_RESERVED);
	e820__update_table(e820_table);
}

void __init caretaker_reserve(void)
{
	if (!wanted)
		return;
	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		caretaker.unusable = "the processor has no SVM";
		return;
	}
	if (nr_cpu_ids > CARETAKER_MAX_CPUS) {
		caretaker.unusable = "more CPUs than it can hold";
		return;
	}
	if (!find_below()) {
		caretaker.size = memory_size();
		caretaker.pa = memblock_phys_alloc(caretaker.size, SZ_2M);
		caretaker.unusable = caretaker.pa ? "not initialized" : "no memory";
	}
	if (caretaker.pa)
		hide_from_loaders();
}

static void *__init table_page(void *unused)
{
	return (void *)get_zeroed_page(GFP_KERNEL);
}

/*
 * Its code runs, on Linux's side too, at its physical address: so that the next
 * kernel can enter and leave what this one has loaded, wherever that one's own
 * addresses are.
 */
static bool __init make_pgd(void)
{
	struct x86_mapping_info info = {
		.alloc_pgt_page = table_page,
		.page_flag = __PAGE_KERNEL_LARGE_EXEC,
	};

	caretaker.pgd = table_page(NULL);
	if (!caretaker.pgd)
		return false;
	clone_pgd_range(caretaker.pgd + KERNEL_PGD_BOUNDARY,
			swapper_pg_dir + KERNEL_PGD_BOUNDARY, KERNEL_PGD_PTRS);
	return !kernel_ident_mapping_init(&info, caretaker.pgd, caretaker.pa,
					  caretaker.pa + caretaker.size);
}

/* Call what is at this offset of its image, on a page table that has it. */
long caretaker_go(unsigned long offset, unsigned long arg)
{
	long (*there)(unsigned long) = (void *)(unsigned long)(caretaker.pa + offset);
	unsigned long flags, cr3;
	long r;

	local_irq_save(flags);
	cr3 = __read_cr3();
	write_cr3(__pa(caretaker.pgd));
	r = there(arg);
	write_cr3(cr3);
	local_irq_restore(flags);
	return r;
}

/* Have this kernel's own begin in that memory, where nobody is. Says why not. */
static const char *begin(void)
{
	struct caretaker_params p = {
		.abi = CARETAKER_ABI,
		.cpus = nr_cpu_ids,
		.mutant = caretaker.mutant,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.pa = caretaker.pa,
		.va = caretaker.pa,
		.size = caretaker.size,
		.window = caretaker.window_pa,
	};
	void *image = phys_to_virt(caretaker.pa);
	long r;

	memset(caretaker.window, 0, sizeof(*caretaker.window));
	caretaker.window->magic = CARETAKER_MAGIC;
	caretaker.window->abi = CARETAKER_ABI;
	memset(image, 0, caretaker.size);
	memcpy(image, caretaker_image_start, caretaker_image_end - caretaker_image_start);
	r = caretaker_go(CARETAKER_HEAD->init, (unsigned long)&p);
	if (r) {
		pr_err("initialization says %ld\n", r);
		return r == CARETAKER_ENODEV ? "the processor lacks what is needed" :
					       "not initialized";
	}
	return NULL;
}

static const char *__init load(void)
{
	caretaker.window = alloc_pages_exact(sizeof(*caretaker.window), GFP_KERNEL);
	if (!caretaker.window || !make_pgd())
		return "no memory";
	caretaker.window_pa = __pa(caretaker.window);
	return begin();
}

/* Is there room for this kernel's own? What was found may have needed less. */
bool caretaker_has_room(void)
{
	return memory_size() <= caretaker.size;
}

/* This kernel's own in place of what is there. All CPUs are native, and stay so. */
int caretaker_renew(void)
{
	caretaker.unusable = begin();
	return caretaker.unusable ? -ENODEV : 0;
}

static const char *__init attach(void)
{
	caretaker.window = phys_to_virt(caretaker.window_pa);
	if (!make_pgd())
		return "no memory";
	caretaker_attach_this_cpu();
	return NULL;
}

/* Before other CPUs start: they go down on their way, if this one is. */
static int __init caretaker_load(void)
{
	BUILD_BUG_ON(offsetof(struct caretaker_window, log) % 8);

	if (!caretaker.pa)
		return 0;
	caretaker.unusable = caretaker.found ? attach() : load();
	if (caretaker.unusable) {
		pr_err("%s\n", caretaker.unusable);
		return 0;
	}
	static_branch_enable(&caretaker_key);
	pr_info("version %d, %lu MiB at %pa%s%s\n", CARETAKER_ABI, caretaker.size / SZ_1M,
		&caretaker.pa, caretaker.found ? ", was here before this kernel" : "",
		caretaker.mutant ? ", MUTANT" : "");
	return 0;
}
early_initcall(caretaker_load);

/*
 * For kexec: may something be copied there before the next kernel starts? That is
 * refused where it is loaded, also while the host is native: it may not stay so.
 */
bool caretaker_refuses(unsigned long start, unsigned long size)
{
	if (!caretaker_ready() || (caretaker.mutant & CARETAKER_MUTANT_OPEN))
		return false;
	if (start >= caretaker.pa + caretaker.size || start + size <= caretaker.pa)
		return false;
	atomic_inc(&caretaker.kexec_refused);
	pr_warn("refused a kexec segment at %#lx, %#lx bytes: over private memory\n", start, size);
	return true;
}

/* kexec comes here too: without KHO the next kernel would not know whose memory that is. */
static int caretaker_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	int cpu;

	if (!caretaker.swallowed)
		return NOTIFY_DONE;
	caretaker_discard_vcpus();
	if (!caretaker.stays) {
		caretaker_release();
		return NOTIFY_DONE;
	}
	/* Off-line they are native, and the next kernel can start them. */
	for_each_online_cpu(cpu)
		if (cpu && remove_cpu(cpu))
			pr_err("CPU %d does not go off-line; the next kernel cannot have it\n", cpu);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_nb = {
	.notifier_call = caretaker_reboot,
	.priority = INT_MIN,
};

static int __init caretaker_boot(void)
{
	if (!caretaker_ready())
		return 0;
	register_reboot_notifier(&reboot_nb);
	if (at_boot && !caretaker.swallowed && caretaker_swallow())
		pr_err("caretaker=on, but the host is not swallowed\n");
	return 0;
}
late_initcall(caretaker_boot);
