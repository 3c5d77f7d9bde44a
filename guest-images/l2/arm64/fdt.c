// SPDX-License-Identifier: Apache-2.0
/*
 * The only reader of what the VMM left in memory: the flattened device tree's /chosen, and its first memory.
 */
#include "../bare.h"
#include "cpu.h"

#define FDT_MAGIC 0xd00dfeed
#define FDT_BEGIN_NODE 1
#define FDT_END_NODE 2
#define FDT_PROP 3
#define FDT_END 9
#define COMMAND_LINE_MAX 2048
#define MAPPED_END (4ull << 30) /* by head.S */

/* All big endian; later fields are of no use here. */
struct fdt_header {
	uint32_t magic;
	uint32_t size;
	uint32_t structure;
	uint32_t strings;
};

struct found {
	const char *bootargs;
	const uint8_t *seed;
	uint32_t seed_size;
	struct range ram;
};

static char command_line[COMMAND_LINE_MAX];
static uint64_t seeds[4];
static struct range ram;

void fdt_main(const struct fdt_header *fdt) __attribute__((noreturn));

static uint32_t big(uint32_t value)
{
	return __builtin_bswap32(value);
}

/* Of two cells, as QEMU's `virt` has. */
static uint64_t big64(const uint8_t *at)
{
	const uint32_t *cells = (const uint32_t *)at;

	return (uint64_t)big(cells[0]) << 32 | big(cells[1]);
}

static int same(const char *one, const char *two)
{
	while (*one && *one == *two)
		one++, two++;
	return *one == *two;
}

static int begins(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

static const uint32_t *past(const void *at, uint32_t size)
{
	return (const uint32_t *)(((uintptr_t)at + size + 3) & ~3ull);
}

static uint32_t length(const char *text)
{
	uint32_t size = 0;

	while (text[size])
		size++;
	return size;
}

static void take_chosen(struct found *found, const char *name, const uint8_t *value, uint32_t size)
{
	if (same(name, "bootargs"))
		found->bootargs = (const char *)value;
	if (same(name, "rng-seed")) {
		found->seed = value;
		found->seed_size = size;
	}
}

/* The memory that this image is in; there may be more than one node of it, with one region each. */
static void take_memory(struct found *found, const char *name, const uint8_t *value, uint32_t size)
{
	uint64_t here = (uintptr_t)bss_end, begin, end;

	if (!same(name, "reg") || size < 16)
		return;
	begin = big64(value);
	end = begin + big64(value + 8);
	if (begin <= here && here < end)
		found->ram = (struct range){ begin, end < MAPPED_END ? end : MAPPED_END };
}

typedef void take(struct found *found, const char *name, const uint8_t *value, uint32_t size);

static take *taker_of(const char *node)
{
	if (same(node, "chosen"))
		return take_chosen;
	return begins(node, "memory@") || same(node, "memory") ? take_memory : NULL;
}

/* Properties of the nodes themselves, not of what is below them. */
static struct found find_all(const struct fdt_header *fdt)
{
	const uint32_t *at = (const uint32_t *)((uintptr_t)fdt + big(fdt->structure));
	const char *strings = (const char *)((uintptr_t)fdt + big(fdt->strings));
	struct found found = { 0 };
	take *taker = NULL;
	int depth = 0;

	for (;;) {
		switch (big(*at++)) {
		case FDT_BEGIN_NODE:
			depth++;
			taker = depth == 2 ? taker_of((const char *)at) : taker;
			at = past(at, length((const char *)at) + 1);
			break;
		case FDT_END_NODE:
			depth--;
			break;
		case FDT_PROP:
			if (depth == 2 && taker)
				taker(&found, strings + big(at[1]), (const uint8_t *)&at[2], big(at[0]));
			at = past(&at[2], big(at[0]));
			break;
		case FDT_END:
			return found;
		}
	}
}

void fdt_main(const struct fdt_header *fdt)
{
	struct found found;

	if (!fdt || big(fdt->magic) != FDT_MAGIC)
		bare_fail("X0 does not point to a device tree; boot this image as Linux's Image is booted");
	found = find_all(fdt);
	ram = found.ram;
	for (uint32_t i = 0; i < found.seed_size && i < sizeof(seeds); i++)
		((uint8_t *)seeds)[i] = found.seed[i];
	for (size_t i = 0; found.bootargs && found.bootargs[i]; i++) {
		if (i == COMMAND_LINE_MAX - 1)
			bare_fail("the command line is longer than 2047 characters");
		command_line[i] = found.bootargs[i];
	}
	bare_main(command_line);
}

struct range arch_ram(void)
{
	return ram;
}

/* What the VMM gave, one word after the other, and the time. */
uint64_t arch_entropy(void)
{
	static unsigned int next;

	return seeds[next++ % 4] ^ beacon_rotate(read_counter(), 32);
}
