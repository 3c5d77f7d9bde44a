// SPDX-License-Identifier: GPL-2.0-only
/* /sys/kernel/caretaker, as in Documentation/virt/caretaker.rst. */
#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/kobject.h>
#include <linux/smp.h>
#include <linux/sysfs.h>

#include "caretaker.h"

#define FILE_RO(name) static struct kobj_attribute name##_file = __ATTR(name, 0400, name##_show, NULL)
#define FILE_WO(name) static struct kobj_attribute name##_file = __ATTR(name, 0200, NULL, name##_store)
#define SHOW(name) static ssize_t name##_show(struct kobject *k, struct kobj_attribute *attr, char *buf)
#define STORE(name) static ssize_t name##_store(struct kobject *k, struct kobj_attribute *attr, \
						const char *buf, size_t n)

SHOW(state)
{
	if (caretaker.unusable)
		return sysfs_emit(buf, "unavailable: %s\n", caretaker.unusable);
	return sysfs_emit(buf, "%s\n", caretaker.swallowed ? "swallowed" : "released");
}

SHOW(version)
{
	return sysfs_emit(buf, "%d\n", CARETAKER_ABI);
}

SHOW(region)
{
	return sysfs_emit(buf, "%#llx %#lx\n", (u64)caretaker.pa, caretaker.size);
}

STORE(swallow)
{
	return caretaker_swallow() ?: n;
}

STORE(release)
{
	return caretaker_release(false) ?: n;
}

STORE(replace)
{
	return caretaker_replace() ?: n;
}

static void ask_info(void *answer)
{
	*(struct caretaker_answer *)answer = caretaker_call(CARETAKER_HC_INFO);
}

/* Each CPU asks the caretaker itself; what this kernel believes is not used. */
SHOW(cpus)
{
	struct caretaker_answer a;
	int at = 0, cpu;

	guard(cpus_read_lock)();
	for_each_online_cpu(cpu) {
		smp_call_function_single(cpu, ask_info, &a, 1);
		if (a.rax == 0 && a.rbx == CARETAKER_MAGIC)
			at += sysfs_emit_at(buf, at, "%d swallowed abi %lu index %lu\n",
					    cpu, a.rcx, a.rdx);
		else
			at += sysfs_emit_at(buf, at, "%d native\n", cpu);
	}
	return at;
}

/* As the caretaker sees its text now, and as it was built. Equal, if all is well. */
SHOW(digest)
{
	const u8 *at = caretaker_image_start;
	const u8 *end = at + CARETAKER_HEAD->text_end;
	u64 built = 0xcbf29ce484222325ULL;
	struct caretaker_answer a;

	for (; at < end; at++)
		built = (built ^ *at) * 0x100000001b3ULL;
	a = caretaker_call(CARETAKER_HC_DIGEST);
	if (a.rax)
		return sysfs_emit(buf, "built %016llx\n", built);
	return sysfs_emit(buf, "built %016llx\nbelow %016lx\n", built, a.rbx);
}

#define NAME(id, name) name,
static const char *const names[] = { CARETAKER_COUNTERS(NAME) };

/* name, all CPUs (sum, or the largest of maxima), and each; then what Linux counts itself */
SHOW(counters)
{
	int at = 0, cpu, i;

	if (!caretaker.window)
		return -ENODEV;
	for (i = 0; i < CARETAKER_NR_COUNTERS; i++) {
		u64 total = 0;

		for_each_possible_cpu(cpu) {
			u64 v = READ_ONCE(caretaker.window->cpu[cpu].counter[i]);

			total = i == CARETAKER_C_MAX_TSC ? max(total, v) : total + v;
		}
		at += sysfs_emit_at(buf, at, "%s %llu", names[i], total);
		for_each_possible_cpu(cpu)
			at += sysfs_emit_at(buf, at, " %llu",
					    READ_ONCE(caretaker.window->cpu[cpu].counter[i]));
		at += sysfs_emit_at(buf, at, "\n");
	}
	at += sysfs_emit_at(buf, at, "kexec_refused %d\n", atomic_read(&caretaker.kexec_refused));
	return at;
}

/* CPUs with resident vCPUs, as the caretaker shows them; not as this kernel believes. */
SHOW(vcpus)
{
	int at = 0, i;

	if (!caretaker.window)
		return -ENODEV;
	for (i = 0; i < CARETAKER_MAX_CPUS; i++) {
		const struct caretaker_cpu_status *w = &caretaker.window->cpu[i];
		u32 state = caretaker_cpu_state(i);

		if (state != CARETAKER_CPU_HELD && state != CARETAKER_CPU_PARKED)
			continue;
		at += sysfs_emit_at(buf, at, "%d %s apic %u entries %llu exit %#llx info %#llx %#llx rip %#llx\n",
				    i, state == CARETAKER_CPU_HELD ? "held" : "parked",
				    w->apic_id, READ_ONCE(w->entries), READ_ONCE(w->exit_code),
				    READ_ONCE(w->exit_info_1), READ_ONCE(w->exit_info_2),
				    READ_ONCE(w->rip));
	}
	return at;
}

static ssize_t log_read(struct file *file, struct kobject *k, const struct bin_attribute *a,
			char *buf, loff_t at, size_t n)
{
	const struct caretaker_window *w = caretaker.window;
	size_t ring = sizeof(w->log);
	u64 end, start;
	size_t i;

	if (!w)
		return -ENODEV;
	end = READ_ONCE(w->log_end);
	start = end > ring ? end - ring : 0;
	for (i = 0; i < n && start + at + i < end; i++)
		buf[i] = w->log[(start + at + i) % ring];
	return i;
}

FILE_RO(state);
FILE_RO(version);
FILE_RO(region);
FILE_RO(cpus);
FILE_RO(digest);
FILE_RO(counters);
FILE_RO(vcpus);
FILE_WO(swallow);
FILE_WO(release);
FILE_WO(replace);

static struct attribute *files[] = {
	&state_file.attr, &version_file.attr, &region_file.attr, &cpus_file.attr,
	&digest_file.attr, &counters_file.attr, &vcpus_file.attr, &swallow_file.attr, &release_file.attr,
	&replace_file.attr, NULL
};

static const struct bin_attribute log_file = {
	.attr = { .name = "log", .mode = 0400 },
	.read = log_read,
};

static const struct bin_attribute *const bin_files[] = { &log_file, NULL };

static const struct attribute_group group = {
	.attrs = files,
	.bin_attrs = bin_files,
};

static int __init caretaker_sysfs(void)
{
	struct kobject *dir = kobject_create_and_add("caretaker", kernel_kobj);

	return dir ? sysfs_create_group(dir, &group) : -ENOMEM;
}
subsys_initcall(caretaker_sysfs);
