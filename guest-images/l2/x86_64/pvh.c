// SPDX-License-Identifier: Apache-2.0
/*
 * The only reader of what the VMM left in memory for a PVH kernel.
 */
#include "../bare.h"
#include "cpu.h"

#define HVM_START_MAGIC 0x336ec578
#define COMMAND_LINE_MAX 2048
#define MAP_SINCE_VERSION 1
#define MAP_RAM 1
#define MAPPED_END (4ull << 30) /* by head.S */

/* As in Xen's public/arch-x86/hvm/start_info.h. */
struct hvm_start_info {
	uint32_t magic;
	uint32_t version;
	uint32_t flags;
	uint32_t nr_modules;
	uint64_t modlist_paddr;
	uint64_t cmdline_paddr;
	uint64_t rsdp_paddr;
	uint64_t memmap_paddr; /* from version 1 on, as all that follows */
	uint32_t memmap_entries;
	uint32_t reserved_0x34;
};

struct hvm_memmap_entry {
	uint64_t addr;
	uint64_t size;
	uint32_t type;
	uint32_t reserved_0x14;
};

static char command_line[COMMAND_LINE_MAX];
static struct range ram;
extern const uint8_t pvh_start32[];

void pvh_main(const struct hvm_start_info *start) __attribute__((noreturn));

static struct range find_ram(const struct hvm_start_info *start)
{
	const struct hvm_memmap_entry *entry = (const struct hvm_memmap_entry *)(uintptr_t)start->memmap_paddr;
	uint64_t here = (uintptr_t)pvh_start32;
	uint32_t left = start->version >= MAP_SINCE_VERSION && entry ? start->memmap_entries : 0;

	for (; left; left--, entry++) {
		uint64_t end = entry->addr + entry->size;

		if (entry->type == MAP_RAM && entry->addr <= here && here < end)
			return (struct range){ entry->addr, end < MAPPED_END ? end : MAPPED_END };
	}
	return (struct range){ 0, 0 };
}

struct range arch_ram(void)
{
	return ram;
}

/* Copied first of all: it may lie where the trampoline goes. */
void pvh_main(const struct hvm_start_info *start)
{
	const char *from = (const char *)(uintptr_t)start->cmdline_paddr;

	if (start->magic != HVM_START_MAGIC)
		bare_fail("EBX does not point to a PVH start info; boot this ELF by its PVH note");
	ram = find_ram(start);
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
