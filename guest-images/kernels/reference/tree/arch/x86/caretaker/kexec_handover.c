// SPDX-License-Identifier: GPL-2.0-only
/*
 * Can a resident vCPU go to the kernel that is loaded for kexec? Its image has to say that
 * it understands the hand-over, and its command line that it will look for it. What is
 * not written there is not assumed. Its page tables must have as many levels as this
 * kernel's: so have the caretaker's, which cannot be changed.
 */
#include <linux/kstrtox.h>
#include <linux/minmax.h>
#include <linux/percpu.h>
#include <linux/pgtable.h>
#include <linux/string.h>
#include <asm/bootparam.h>
#include <asm/caretaker.h>
#include <asm/cmdline.h>
#include <asm/cpuid/api.h>

#define KERNEL_INFO_MAGIC	0x506f544c	/* "LToP" */
#define SINCE			0x020f		/* of the boot protocol */

struct kernel_info {
	u32 magic, size, size_total;
};

struct chunk {
	u32 magic, size, handover;
	u32 features;		/* not in every image */
};

#define CHUNK_MIN	offsetof(struct chunk, features)

static bool within(u64 at, u64 size, u64 len)
{
	return size <= len && at <= len - size;
}

/* What its kernel_info says of the hand-over; zeroes if there is nothing of it. */
static struct chunk chunk_of(const char *image, unsigned long len)
{
	const struct setup_header *header;
	struct kernel_info info;
	struct chunk chunk, none = { };
	u64 at, end;

	if (!within(offsetof(struct boot_params, hdr), sizeof(*header), len))
		return none;
	header = (const void *)image + offsetof(struct boot_params, hdr);
	at = ((header->setup_sects ?: 4) + 1) * 512 + (u64)header->kernel_info_offset;
	if (header->version < SINCE || !header->kernel_info_offset ||
	    !within(at, sizeof(info), len))
		return none;
	memcpy(&info, image + at, sizeof(info));
	if (info.magic != KERNEL_INFO_MAGIC || !within(at, info.size_total, len))
		return none;
	end = at + info.size_total;
	for (at += info.size; within(at, CHUNK_MIN, end); at += chunk.size) {
		chunk = none;
		memcpy(&chunk, image + at, min(end - at, sizeof(chunk)));
		if (chunk.size < sizeof(chunk))
			chunk.features = 0;
		if (chunk.magic == CARETAKER_MAGIC)
			return chunk.size >= CHUNK_MIN ? chunk : none;
		if (!chunk.size)
			break;
	}
	return none;
}

static bool is_on(const char *cmdline, const char *option)
{
	char value[8];
	bool on;

	return cmdline_find_option(cmdline, option, value, sizeof(value)) > 0 &&
	       !kstrtobool(value, &on) && on;
}

/* Will it have 5 levels of page tables? CPUID itself says: Linux hides LA57 if it has no5lvl. */
static bool five_levels(const char *cmdline)
{
	return (cpuid_ecx(7) & BIT(16)) && !cmdline_find_option_bool(cmdline, "no5lvl");
}

/**
 * caretaker_unfit() - find why no resident vCPU can go to a kernel
 * @image: a bzImage
 * @len: its size
 * @cmdline: the command line that it is loaded with
 *
 * Return: why, for a person to read; "" if vCPUs can go.
 */
const char *caretaker_unfit(const char *image, unsigned long len, const char *cmdline)
{
	struct chunk said = chunk_of(image, len);
	char value[8];

	if (!said.handover)
		return "the next kernel has no caretaker";
	if (said.handover != CARETAKER_HANDOVER)
		return "the next kernel has a caretaker of another version";
	if (caretaker_features() & ~said.features)
		return "the caretaker has what the next kernel does not know";
	if (cmdline_find_option(cmdline, "caretaker", value, sizeof(value)) < 0 ||
	    (strcmp(value, "on") && strcmp(value, "ready")))
		return "the next kernel's command line has no caretaker=on or =ready";
	if (!is_on(cmdline, "kho"))
		return "the next kernel's command line has no kho=on";
	if (!is_on(cmdline, "liveupdate"))
		return "the next kernel's command line has no liveupdate=on";
	if (five_levels(cmdline) > pgtable_l5_enabled())
		return "the next kernel's command line has no no5lvl, and this kernel has 4 levels of page tables";
	if (five_levels(cmdline) < pgtable_l5_enabled())
		return "the next kernel's command line has no5lvl, and this kernel has 5 levels of page tables";
	return "";
}
