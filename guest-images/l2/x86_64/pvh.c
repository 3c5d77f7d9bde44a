// SPDX-License-Identifier: Apache-2.0
/*
 * The only reader of what the VMM left in memory for a PVH kernel.
 */
#include "../bare.h"
#include "cpu.h"

#define HVM_START_MAGIC 0x336ec578
#define COMMAND_LINE_MAX 2048

/* As in Xen's public/arch-x86/hvm/start_info.h; later fields are of no use here. */
struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
};

static char command_line[COMMAND_LINE_MAX];

void pvh_main(const struct hvm_start_info *start) __attribute__((noreturn));

/* Copied first of all: it may lie where the trampoline goes. */
void pvh_main(const struct hvm_start_info *start)
{
	const char *from = (const char *)(uintptr_t)start->cmdline_paddr;

	if (start->magic != HVM_START_MAGIC)
		bare_fail("EBX does not point to a PVH start info; boot this ELF by its PVH note");
	for (size_t i = 0; from && from[i]; i++) {
		if (i == COMMAND_LINE_MAX - 1)
			bare_fail("the command line is longer than 2047 characters");
		command_line[i] = from[i];
	}
	bare_main(command_line);
}

static int rdrand(uint64_t *value)
{
	unsigned char good;

	asm volatile("rdrand %0; setc %1" : "=r"(*value), "=qm"(good) : : "cc");
	return good;
}

uint64_t arch_entropy(void)
{
	uint64_t value = 0;

	if (cpuid(1).ecx & 1u << 30) {
		for (int tries = 10; tries && !rdrand(&value); tries--)
			;
	}
	return value ^ beacon_rotate(rdtsc(), 32);
}
