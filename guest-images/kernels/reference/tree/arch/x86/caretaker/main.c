// SPDX-License-Identifier: GPL-2.0-only
/*
 * When things happen: memory is reserved early, if "caretaker=" asks for it, so that
 * it is one piece; the image is loaded before KVM starts; the host is swallowed at
 * the end of boot; and released, or not, before a reboot or a kexec.
 */
#define pr_fmt(fmt) "caretaker: " fmt

#include <linux/cc_platform.h>
#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/memblock.h>
#include <linux/mm.h>
#include <linux/reboot.h>
#include <linux/sizes.h>
#include <asm/cpufeature.h>
#include <asm/e820/api.h>

#include "caretaker.h"

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

/* Is there one below, from the previous kernel? Its memory stays where it is. */
static bool __init find_below(void)
{
	struct caretaker_answer a = caretaker_call(CARETAKER_HC_INFO);

	if (a.rax || a.rbx != CARETAKER_MAGIC)
		return false;
	caretaker.unusable = "a caretaker of another version is below";
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

/* Loaders of kernels look for System RAM to put segments on, and so do dumps. */
static void __init hide_from_loaders(void)
{
	e820__range_update(caretaker.pa, caretaker.size, E820_TYPE_RAM, E820_TYPE_RESERVED);
	e820__update_table(e820_table);
}

/**
 * caretaker_reserve() - reserve memory for the caretaker, or that of one below
 *
 * Context: setup_arch(), before the buddy allocator has the memory.
 */
void __init caretaker_reserve(void)
{
	if (!wanted)
		return;
	if (!boot_cpu_has(X86_FEATURE_SVM)) {
		caretaker.unusable = "the processor has no SVM";
		return;
	}
	if (cc_platform_has(CC_ATTR_MEM_ENCRYPT)) {
		caretaker.unusable = "memory is encrypted: boot with mem_encrypt=off";
		return;
	}
	if (nr_cpu_ids > CARETAKER_MAX_CPUS) {
		caretaker.unusable = "more CPUs than it supports";
		return;
	}
	if (!find_below()) {
		caretaker.size = caretaker_memory_size();
		caretaker.pa = memblock_phys_alloc(caretaker.size, SZ_2M);
		caretaker.unusable = caretaker.pa ? "not initialized" : "no memory";
	}
	if (caretaker.pa)
		hide_from_loaders();
}

static const char *__init load_or_attach(void)
{
	const char *why;

	if (!caretaker.found)
		return caretaker_load_image();
	why = caretaker_attach();
	if (!why)
		caretaker_attach_this_cpu();
	return why;
}

/* Before other CPUs start: they enter on their way, if this one is below. */
static int __init caretaker_load(void)
{
	BUILD_BUG_ON(offsetof(struct caretaker_window, log) % 8);

	if (!caretaker.pa)
		return 0;
	caretaker.unusable = load_or_attach();
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

/**
 * caretaker_refuses() - is a kexec segment over the caretaker's memory?
 * @start: physical address where the segment goes
 * @size: bytes
 *
 * Asked when it is loaded, also while the host is released: it may be swallowed later.
 *
 * Return: true if it must not be loaded.
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

/* Also for kexec: without KHO the next kernel would not know of the caretaker's memory. */
static int caretaker_reboot(struct notifier_block *nb, unsigned long action, void *data)
{
	int cpu;

	if (!caretaker.swallowed)
		return NOTIFY_DONE;
	caretaker_discard_vcpus();
	if (bitmap_empty(caretaker.preserved, CARETAKER_MAX_CPUS)) {
		caretaker_release(true);
		return NOTIFY_DONE;
	}
	/* Offline they are native, and the next kernel can start them. */
	for_each_online_cpu(cpu)
		if (cpu && remove_cpu(cpu))
			pr_err("CPU %d cannot be offlined: the next kernel cannot start it\n", cpu);
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
		pr_err("caretaker=on: the host could not be swallowed\n");
	return 0;
}
late_initcall(caretaker_boot);
