// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a kernel has to be to be the next one, in userspace: says of an image and a
 * command line why no vCPU could go on under it, or nothing. With a third word the processor
 * has 5 levels of page tables, and the word says how many this kernel uses. Headers of the
 * kernel's that are included there have to exist as empty files:
 *
 *   gcc -I<empty> -I../../../arch/x86/include -fsanitize=address,undefined kexec_handover.c
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;

/* As in Documentation/arch/x86/boot.rst; what is not used is left out. */
struct setup_header {
	u8 setup_sects;			/* 0x1f1 */
	u8 to_version[0x206 - 0x1f2];
	u16 version;
	u8 to_info[0x268 - 0x208];
	u32 kernel_info_offset;
} __attribute__((packed));

struct boot_params {
	u8 before[0x1f1];
	struct setup_header hdr;
} __attribute__((packed));

/* The last of its kind counts; a word that only ends alike is another. */
static int cmdline_find_option(const char *cmdline, const char *option, char *to, int size)
{
	size_t n = strlen(option);
	const char *at, *found = NULL;

	for (at = cmdline; *at; at += strcspn(at, " "), at += strspn(at, " "))
		if (!strncmp(at, option, n) && at[n] == '=')
			found = at + n + 1;
	if (!found)
		return -1;
	snprintf(to, size, "%.*s", (int)strcspn(found, " "), found);
	return strcspn(found, " ");
}

static int kstrtobool(const char *s, bool *to)
{
	*to = !strcmp(s, "on") || *s == '1' || *s == 'y' || *s == 'Y';
	return *to || !strcmp(s, "off") || *s == '0' || *s == 'n' || *s == 'N' ? 0 : -22;
}

static bool cmdline_find_option_bool(const char *cmdline, const char *option)
{
	size_t n = strlen(option), word;
	const char *at;

	for (at = cmdline; *at; at += word, at += strspn(at, " ")) {
		word = strcspn(at, " ");
		if (word == n && !strncmp(at, option, n))
			return true;
	}
	return false;
}

#define BIT(n)	(1UL << (n))

static bool has_la57, l5_enabled;	/* by the third word of this program's command line */
static u32 features;			/* of the caretaker below, by $FEATURES */
#define min(a, b)	((a) < (b) ? (a) : (b))

static u32 caretaker_features(void)
{
	return features;
}

static u32 cpuid_ecx(u32 leaf)
{
	return leaf == 7 && has_la57 ? 1u << 16 : 0;
}

static bool pgtable_l5_enabled(void)
{
	return l5_enabled;
}

#include <asm/caretaker_abi.h>
const char *caretaker_unfit(const char *image, unsigned long len, const char *cmdline);
#include "../../../arch/x86/caretaker/kexec_handover.c"

int main(int argc, char **argv)
{
	FILE *file = argc == 3 || argc == 4 ? fopen(argv[1], "rb") : NULL;
	char *image;
	long len;

	if (!file)
		return 2;
	has_la57 = argc == 4;
	l5_enabled = argc == 4 && !strcmp(argv[3], "5");
	features = strtoul(getenv("FEATURES") ?: "0", NULL, 0);
	fseek(file, 0, SEEK_END);
	len = ftell(file);
	rewind(file);
	image = malloc(len ?: 1);	/* to the byte: what is read behind it is seen */
	if (fread(image, 1, len, file) != (size_t)len)
		return 2;
	puts(caretaker_unfit(image, len, argv[2]));
	free(image);
	fclose(file);
	return 0;
}
