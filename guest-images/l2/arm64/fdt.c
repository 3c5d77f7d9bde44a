// SPDX-License-Identifier: Apache-2.0
/*
 * The only reader of what the VMM left in memory: the flattened device tree's /chosen.
 */
#include "../bare.h"
#include "cpu.h"

#define FDT_MAGIC 0xd00dfeed
#define FDT_BEGIN_NODE 1
#define FDT_END_NODE 2
#define FDT_PROP 3
#define FDT_END 9
#define COMMAND_LINE_MAX 2048

/* All big endian; later fields are of no use here. */
struct fdt_header {
	uint32_t magic;
	uint32_t size;
	uint32_t structure;
	uint32_t strings;
};

struct chosen {
	const char *bootargs;
	const uint8_t *seed;
	uint32_t seed_size;
};

static char command_line[COMMAND_LINE_MAX];
static uint64_t seeds[4];

void fdt_main(const struct fdt_header *fdt) __attribute__((noreturn));

static uint32_t big(uint32_t value)
{
	return __builtin_bswap32(value);
}

static int same(const char *one, const char *two)
{
	while (*one && *one == *two)
		one++, two++;
	return *one == *two;
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

static void take_property(struct chosen *chosen, const char *name, const uint8_t *value, uint32_t size)
{
	if (same(name, "bootargs"))
		chosen->bootargs = (const char *)value;
	if (same(name, "rng-seed")) {
		chosen->seed = value;
		chosen->seed_size = size;
	}
}

/* Properties of the node /chosen itself, not of what is below it. */
static struct chosen find_chosen(const struct fdt_header *fdt)
{
	const uint32_t *at = (const uint32_t *)((uintptr_t)fdt + big(fdt->structure));
	const char *strings = (const char *)((uintptr_t)fdt + big(fdt->strings));
	struct chosen chosen = { 0 };
	int depth = 0, inside = 0;

	for (;;) {
		switch (big(*at++)) {
		case FDT_BEGIN_NODE:
			depth++;
			inside = depth == 2 ? same((const char *)at, "chosen") : inside;
			at = past(at, length((const char *)at) + 1);
			break;
		case FDT_END_NODE:
			depth--;
			break;
		case FDT_PROP:
			if (depth == 2 && inside)
				take_property(&chosen, strings + big(at[1]), (const uint8_t *)&at[2], big(at[0]));
			at = past(&at[2], big(at[0]));
			break;
		case FDT_END:
			return chosen;
		}
	}
}

void fdt_main(const struct fdt_header *fdt)
{
	struct chosen chosen;

	if (!fdt || big(fdt->magic) != FDT_MAGIC)
		bare_fail("X0 does not point to a device tree; boot this image as Linux's Image is booted");
	chosen = find_chosen(fdt);
	for (uint32_t i = 0; i < chosen.seed_size && i < sizeof(seeds); i++)
		((uint8_t *)seeds)[i] = chosen.seed[i];
	for (size_t i = 0; chosen.bootargs && chosen.bootargs[i]; i++) {
		if (i == COMMAND_LINE_MAX - 1)
			bare_fail("the command line is longer than 2047 characters");
		command_line[i] = chosen.bootargs[i];
	}
	bare_main(command_line);
}

/* What the VMM gave, one word after the other, and the time. */
uint64_t arch_entropy(void)
{
	static unsigned int next;

	return seeds[next++ % 4] ^ beacon_rotate(read_counter(), 32);
}
