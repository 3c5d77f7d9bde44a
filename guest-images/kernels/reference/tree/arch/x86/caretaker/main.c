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
#include <linux/set_memory.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/cpufeature.h>

#include "caretaker.h"

struct caretaker caretaker = {
	.unusable = "not asked for: boot with caretaker=ready or caretaker=on",
	.fail_cpu = -1,
};
DEFINE_STATIC_KEY_FALSE(caretaker_key);
EXPORT_SYMBOL_GPL(caretaker_key);

static bool wanted __initdata;
static bool at_boot __initdata;
static unsigned int mutant __initdata;

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
	if (!arg || strcmp(arg, "open"))
		return -EINVAL;
	mutant = CARETAKER_MUTANT_OPEN;
	return 0;
}
early_param("caretaker_mutant", parse_mutant);
#endif

/* Two page tables of all physical memory in leaves of 1 GiB, and some small ones. */
static unsigned long __init memory_size(void)
{
	unsigned long fixed = CARETAKER_HEAD->size + nr_cpu_ids * CARETAKER_HEAD->cpu_size;
	unsigned long leaves = 1ul << max(boot_cpu_data.x86_phys_bits - 39, 0);
	unsigned long tables = leaves + fixed / SZ_2M + 32;

	return ALIGN(fixed + 2 * PAGE_SIZE + 2 * tables * PAGE_SIZE, SZ_2M);
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
	caretaker.size = memory_size();
	caretaker.pa = memblock_phys_alloc(caretaker.size, SZ_2M);
	caretaker.unusable = caretaker.pa ? "not initialized" : "no memory";
}

static void *__init map_memory(void)
{
	unsigned long i, n = caretaker.size / PAGE_SIZE;
	struct page **pages;
	void *va;

	pages = kvmalloc_array(n, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return NULL;
	for (i = 0; i < n; i++)
		pages[i] = pfn_to_page(PHYS_PFN(caretaker.pa) + i);
	va = vmap(pages, n, VM_MAP, PAGE_KERNEL);
	kvfree(pages);
	return va;
}

static const char *__init load(void)
{
	struct caretaker_params p = {
		.abi = CARETAKER_ABI,
		.cpus = nr_cpu_ids,
		.mutant = mutant,
		.phys_bits = boot_cpu_data.x86_phys_bits,
		.pa = caretaker.pa,
		.size = caretaker.size,
	};
	long (*init)(const struct caretaker_params *p);
	unsigned long flags;
	long r;

	caretaker.va = map_memory();
	caretaker.window = alloc_pages_exact(sizeof(*caretaker.window), GFP_KERNEL | __GFP_ZERO);
	if (!caretaker.va || !caretaker.window)
		return "no memory";
	caretaker.window->magic = CARETAKER_MAGIC;
	caretaker.window->abi = CARETAKER_ABI;
	p.va = (unsigned long)caretaker.va;
	p.window = __pa(caretaker.window);

	memset(caretaker.va, 0, caretaker.size);
	memcpy(caretaker.va, caretaker_image_start,
	       caretaker_image_end - caretaker_image_start);
	if (set_memory_rox(p.va, CARETAKER_HEAD->data_start / PAGE_SIZE))
		return "no executable memory";

	init = caretaker.va + CARETAKER_HEAD->init;
	local_irq_save(flags);
	r = init(&p);
	local_irq_restore(flags);
	if (r) {
		pr_err("initialization says %ld\n", r);
		return r == CARETAKER_ENODEV ? "the processor lacks what is needed" :
					       "not initialized";
	}
	return NULL;
}

static int __init caretaker_load(void)
{
	BUILD_BUG_ON(offsetof(struct caretaker_window, log) % 8);

	if (!caretaker.pa)
		return 0;
	caretaker.unusable = load();
	if (caretaker.unusable) {
		pr_err("%s\n", caretaker.unusable);
		return 0;
	}
	static_branch_enable(&caretaker_key);
	pr_info("version %d, %lu MiB at %pa%s\n", CARETAKER_ABI, caretaker.size / SZ_1M,
		&caretaker.pa, mutant ? ", MUTANT: hides nothing" : "");
	return 0;
}
arch_initcall(caretaker_load);

/* kexec comes here too: the next kernel would not know whose memory that is. */
static int caretaker_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	if (caretaker.swallowed)
		caretaker_release();
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
	if (at_boot && caretaker_swallow())
		pr_err("caretaker=on, but the host is not swallowed\n");
	return 0;
}
late_initcall(caretaker_boot);
