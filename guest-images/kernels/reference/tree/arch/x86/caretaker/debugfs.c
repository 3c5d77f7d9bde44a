// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/kernel/debug/caretaker/do: does what a faulty host would do, on this CPU. Write
 * "verb number [number]", then read the result.
 */
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/uaccess.h>
#include <asm/apic.h>
#include <asm/desc_defs.h>
#include <asm/msr.h>
#include <asm/svm.h>

#include "caretaker.h"

static char result[128];
static DEFINE_MUTEX(lock);

#define FAULTS(insn, a, c) ({						\
	long r_ = 0;							\
	asm volatile("1: " insn "\n2:\n"				\
		     _ASM_EXTABLE_TYPE_REG(1b, 2b, EX_TYPE_EFAULT_REG, %[r]) \
		     : [r] "+r"(r_) : "a"(a), "c"(c) : "memory");	\
	r_; })

static void do_read(u64 pa, u64 unused)
{
	u64 value = 0;
	long r = copy_from_kernel_nofault(&value, phys_to_virt(pa), sizeof(value));

	sprintf(result, "%ld %#llx\n", r, value);
}

static void do_write(u64 pa, u64 value)
{
	sprintf(result, "%ld\n", copy_to_kernel_nofault(phys_to_virt(pa), &value, sizeof(value)));
}

static void do_hypercall(u64 rax, u64 unused)
{
	struct caretaker_answer a = caretaker_call(rax);

	sprintf(result, "%ld %#lx %#lx %#lx\n", a.rax, a.rbx, a.rcx, a.rdx);
}

static void do_wrmsr(u64 msr, u64 value)
{
	sprintf(result, "%d\n", wrmsrq_safe(msr, value));
}

static void do_rdmsr(u64 msr, u64 unused)
{
	u64 value = 0;
	int r = rdmsrq_safe(msr, &value);

	sprintf(result, "%d %#llx\n", r, value);
}

static void do_icr(u64 icr, u64 unused)
{
	sprintf(result, "%d\n", x2apic_mode ? wrmsrq_safe(APIC_BASE_MSR + (APIC_ICR >> 4), icr) :
					      -EOPNOTSUPP);
}

static void do_vmrun(u64 pa, u64 unused)
{
	sprintf(result, "%ld\n", FAULTS("vmrun %%rax", pa, 0));
}

static void do_vmload(u64 pa, u64 unused)
{
	sprintf(result, "%ld\n", FAULTS("vmload %%rax", pa, 0));
}

static void do_vmsave(u64 pa, u64 unused)
{
	sprintf(result, "%ld\n", FAULTS("vmsave %%rax", pa, 0));
}

static void do_clgi(u64 unused, u64 unused2)
{
	sprintf(result, "%ld\n", FAULTS("clgi", 0, 0));
}

static void do_invlpga(u64 va, u64 asid)
{
	sprintf(result, "%ld\n", FAULTS("invlpga %%rax, %%ecx", va, asid));
}

/* Never of a native host, whose file systems it would take along. */
static void do_invd(u64 unused, u64 unused2)
{
	long r = -EPERM;

	preempt_disable();
	if (this_cpu_read(caretaker_in))
		r = FAULTS("invd", 0, 0);
	preempt_enable();
	sprintf(result, "%ld\n", r);
}

static void do_fail_cpu(u64 cpu, u64 unused)
{
	caretaker.fail_cpu = cpu;
	strscpy(result, "0\n");
}

/* A VMCB that passes the caretaker's checks, and that the processor refuses. */
static void make_vmcb(struct vmcb *v)
{
	v->control.intercepts[INTERCEPT_EXCEPTION] = BIT(DB_VECTOR) | BIT(AC_VECTOR) | BIT(MC_VECTOR);
	v->control.intercepts[INTERCEPT_WORD3] = BIT(INTERCEPT_INTR - 96) |
		BIT(INTERCEPT_NMI - 96) | BIT(INTERCEPT_INVLPGA - 96) |
		BIT(INTERCEPT_MSR_PROT - 96) | BIT(INTERCEPT_SHUTDOWN - 96);
	v->control.intercepts[INTERCEPT_WORD4] = 0x7f;
	v->control.int_ctl = V_INTR_MASKING_MASK;
	v->control.misc_ctl = SVM_MISC_ENABLE_NP;
	v->control.asid = 2;
	v->control.iopm_base_pa = v->control.msrpm_base_pa = v->control.nested_cr3 =
		__pa(v) + PAGE_SIZE;
	v->save.rip = 0x1234;
}

static struct vmcb *new_vmcb(void)
{
	struct vmcb *v = (void *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 3);

	if (v)
		make_vmcb(v);
	else
		strscpy(result, "no memory\n");
	return v;
}

/* EFER.SVME is not set in it. */
static void run_and_free(struct vmcb *v)
{
	long r = caretaker_call(__pa(v) | CARETAKER_HC_RUN).rax;

	sprintf(result, "%ld %#llx %#llx\n", r, v->control.exit_code, v->save.rip);
	free_pages((unsigned long)v, 3);
}

/* The tables that it names, nested ones and permissions, are where the numbers say. */
static void do_bad_vmcb(u64 root, u64 maps)
{
	struct vmcb *v = new_vmcb();

	if (!v)
		return;
	if (root)
		v->control.nested_cr3 = root;
	if (maps)
		v->control.iopm_base_pa = v->control.msrpm_base_pa = maps;
	run_and_free(v);
}

/* Its guest may use VMLOAD and VMSAVE, by a bit that not every processor has. */
static void do_loose_vmcb(u64 unused, u64 unused2)
{
	struct vmcb *v = new_vmcb();

	if (!v)
		return;
	v->control.intercepts[INTERCEPT_WORD4] &=
		~(BIT(INTERCEPT_VMLOAD - 128) | BIT(INTERCEPT_VMSAVE - 128));
	v->control.misc_ctl2 |= SVM_MISC2_ENABLE_V_VMLOAD_VMSAVE;
	run_and_free(v);
}

/* A triple fault: no IDT to take the breakpoint, nor what comes of that. */
static void do_triple(u64 unused, u64 unused2)
{
	struct desc_ptr none = { };

	local_irq_disable();
	asm volatile("lidt %0; int3" : : "m"(none));
}

static const struct verb {
	const char *name;
	void (*call)(u64 a, u64 b);
} verbs[] = {
	{ "read", do_read },
	{ "write", do_write },
	{ "hypercall", do_hypercall },
	{ "wrmsr", do_wrmsr },
	{ "rdmsr", do_rdmsr },
	{ "icr", do_icr },
	{ "vmrun", do_vmrun },
	{ "vmload", do_vmload },
	{ "vmsave", do_vmsave },
	{ "clgi", do_clgi },
	{ "invlpga", do_invlpga },
	{ "invd", do_invd },
	{ "fail_cpu", do_fail_cpu },
	{ "bad_vmcb", do_bad_vmcb },
	{ "loose_vmcb", do_loose_vmcb },
	{ "triple", do_triple },
};

static ssize_t do_store(struct file *file, const char __user *from, size_t n, loff_t *at)
{
	u64 a = 0, b = 0;
	char verb[16];
	char *line;
	int i;

	line = memdup_user_nul(from, min(n, 80));
	if (IS_ERR(line))
		return PTR_ERR(line);
	i = sscanf(line, "%15s %lli %lli", verb, &a, &b);
	kfree(line);
	if (i < 1)
		return -EINVAL;
	guard(mutex)(&lock);
	for (i = 0; i < ARRAY_SIZE(verbs); i++) {
		if (strcmp(verbs[i].name, verb))
			continue;
		verbs[i].call(a, b);
		return n;
	}
	return -EINVAL;
}

static ssize_t do_show(struct file *file, char __user *to, size_t n, loff_t *at)
{
	guard(mutex)(&lock);
	return simple_read_from_buffer(to, n, at, result, strlen(result));
}

static const struct file_operations do_fops = {
	.write = do_store,
	.read = do_show,
};

/* The private memory itself, for userspace to map, also into a guest. */
static int map_memory(struct file *file, struct vm_area_struct *vma)
{
	unsigned long n = vma->vm_end - vma->vm_start;

	if (vma->vm_pgoff || n > caretaker.size)
		return -EINVAL;
	return remap_pfn_range(vma, vma->vm_start, PHYS_PFN(caretaker.pa), n, vma->vm_page_prot);
}

static const struct file_operations memory_fops = {
	.mmap = map_memory,
};

static int __init caretaker_test(void)
{
	struct dentry *dir;

	if (!caretaker_ready())
		return 0;
	dir = debugfs_create_dir("caretaker", NULL);
	debugfs_create_file("do", 0600, dir, NULL, &do_fops);
	debugfs_create_file_unsafe("memory", 0600, dir, NULL, &memory_fops);
	return 0;
}
late_initcall(caretaker_test);
