// SPDX-License-Identifier: GPL-2.0-only
/* The caretaker's image: copied to its memory, initialized, and called there. */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/cpu.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sizes.h>
#include <asm/init.h>
#include <asm/pgalloc.h>
#include <asm/tlbflush.h>

#include "caretaker.h"

struct caretaker caretaker = {
	.unusable = "not asked for: boot with caretaker=ready or caretaker=on",
	.fail_cpu = -1,
};

/**
 * caretaker_memory_size() - size of the memory that this kernel's image needs
 *
 * Two page tables of all physical memory in leaves of 1 GiB and some small ones, and
 * what each CPU needs.
 *
 * Return: bytes, a multiple of 2 MiB.
 */
unsigned long caretaker_memory_size(void)
{
	unsigned long fixed = CARETAKER_HEAD->size + nr_cpu_ids * CARETAKER_HEAD->cpu_size;
	unsigned long leaves = 1ul << max(boot_cpu_data.x86_phys_bits - 39, 0);
	unsigned long tables = leaves + fixed / SZ_2M + 32;

	return ALIGN(fixed + 2 * PAGE_SIZE + 2 * tables * PAGE_SIZE, SZ_2M);
}

static void *__init table_page(void *unused)
{
	return (void *)get_zeroed_page(GFP_KERNEL);
}

/*
 * The image runs at its physical address, on Linux's side too: so the next kernel can
 * enter and leave what this one has loaded, wherever its own addresses are.
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

/**
 * caretaker_go() - call a function of the image, on a page table that maps it
 * @offset: of the function in the image
 * @arg: its argument
 *
 * Return: what it returns.
 */
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

/**
 * caretaker_init_image() - put this kernel's image into the caretaker's memory
 *
 * Context: no CPU is below the caretaker, and none enters.
 * Return: why it cannot be used, or NULL.
 */
const char *caretaker_init_image(void)
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
	caretaker.window->levels = (pgtable_l5_enabled() ? 5 : 4);
	caretaker.window->features = CARETAKER_FEATURES;
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

/**
 * caretaker_features() - what a kernel has to know of the caretaker that is there
 *
 * Return: CARETAKER_HAS_*; 0 if there is none.
 */
unsigned int caretaker_features(void)
{
	return caretaker.window ? READ_ONCE(caretaker.window->features) : 0;
}

/**
 * caretaker_load_image() - load and initialize this kernel's image
 *
 * Return: why it cannot be used, or NULL.
 */
const char *__init caretaker_load_image(void)
{
	caretaker.window = alloc_pages_exact(sizeof(*caretaker.window), GFP_KERNEL);
	if (!caretaker.window || !make_pgd())
		return "no memory";
	caretaker.window_pa = __pa(caretaker.window);
	return caretaker_init_image();
}

/**
 * caretaker_attach() - use the image that the previous kernel loaded
 *
 * Return: why it cannot be used, or NULL.
 */
const char *__init caretaker_attach(void)
{
	caretaker.window = phys_to_virt(caretaker.window_pa);
	if (caretaker.window->levels != (pgtable_l5_enabled() ? 5 : 4))
		return "the caretaker below has page tables of another depth: see no5lvl";
	if (caretaker_features() & ~CARETAKER_FEATURES)
		return "the caretaker below has what this kernel does not know";
	return make_pgd() ? NULL : "no memory";
}
