// SPDX-License-Identifier: Apache-2.0
/*
 * beacon.h, mutant.h and words.h in user space, under sanitizers. Checks what it can by itself, then prints pages as
 * `case=<name> vcpu=<n> beats=<n> page=<8192 hex digits>` with the secrets before them, for the reader of the
 * other side to be tested with.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"

#define LINE "beacon=000102030405060708090a0b0c0d0e0f:f0e1d2c3b4a5968778695a4b3c2d1e0f"

#define CHECK(what)                                                                \
	do {                                                                       \
		if (!(what)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what); \
			exit(1);                                                   \
		}                                                                  \
	} while (0)

/* The reference vectors of the SipHash paper's implementation. */
static void test_siphash(void)
{
	uint8_t key[16], in[64];

	for (uint8_t i = 0; i < 16; i++)
		key[i] = i;
	for (uint8_t i = 0; i < 64; i++)
		in[i] = i;
	CHECK(siphash24(key, in, 0) == 0x726fdb47dd0e0e31ull);
	CHECK(siphash24(key, in, 8) == 0x93f5f5799a932462ull);
	CHECK(siphash24(key, in, 15) == 0xa129ca6149be45e5ull);
}

static void test_words(void)
{
	struct options o;
	uint64_t n = 7;

	CHECK(!word_find("xbeacon=1 abeacon=", "beacon="));
	CHECK(word_u64("a=1 b=2 a=30", "a=", &n) && n == 30);
	CHECK(word_u64("", "a=", &n) && n == 30);
	CHECK(!word_u64("a=", "a=", &n) && !word_u64("a=1x", "a=", &n));
	CHECK(!word_u64("a=18446744073709551616", "a=", &n));
	CHECK(options_parse("", &o) && options_parse("beacon=00:11", &o));
	CHECK(options_parse(LINE "0", &o) && options_parse(LINE " vcpus=0", &o));
	CHECK(options_parse(LINE " beacon.period_us=0", &o) && options_parse(LINE " mutant=sleep:1", &o));
	CHECK(options_parse(LINE " mutant=freeze:1", &o) && options_parse(LINE " mutant=chain:1x", &o));
	CHECK(!options_parse("console=ttyS0 " LINE " vcpus=3 tsc_khz=5\n", &o));
	CHECK(o.vcpus == 3 && o.tsc_khz == 5 && o.id.canary[15] == 15 && o.id.key[0] == 0xf0);
	CHECK(!options_parse(LINE " beacon.period_us=250 mutant=freeze:20:30", &o));
	CHECK(o.id.period_ns == 250000 && o.mutation.after_ns == 20000000 && o.mutation.for_ns == 30000000);
	CHECK(!o.relay && options_parse(LINE " beacon.relay=2", &o));
	CHECK(!options_parse(LINE " beacon.relay=1", &o) && o.relay);
}

static void dump(const char *name, const struct beacon_page *page, unsigned int beats)
{
	const uint8_t *bytes = (const uint8_t *)page;

	printf("case=%s vcpu=%u beats=%u page=", name, page->header.vcpu, beats);
	for (size_t i = 0; i < sizeof(*page); i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

/* So many beats, 1 ms and a little apart, with one gap of 5 ms after the third. */
static void run(const char *name, const char *words, uint32_t vcpu, unsigned int beats)
{
	static struct beacon_page page;
	char line[256];
	struct options o;
	struct beacon b;
	struct mutant m;
	uint64_t now = 1000000000;

	snprintf(line, sizeof(line), LINE " %s", words);
	CHECK(!options_parse(line, &o));
	o.id.nvcpus = 2;
	memset(o.id.boot_id, 0xb0, 16);
	beacon_open(&b, &page, &o.id, vcpu);
	mutant_open(&m, &o.mutation, vcpu);
	for (unsigned int i = 1; i <= beats; i++) {
		now += i == 4 ? 5000000 : 1000000 + i;
		if (mutant_lets_beat(&m, &b, now))
			beacon_beat(&b, now);
	}
	dump(name, &page, beats);
}

static void test_gaps(void)
{
	static struct beacon_page page;
	struct beacon_identity id = { .nvcpus = 1, .period_ns = BEACON_PERIOD_NS };
	struct beacon b;

	beacon_open(&b, &page, &id, 0);
	beacon_beat(&b, 100);
	CHECK(!page.dynamic.max_gap_ns && page.dynamic.seq == 1);
	beacon_beat(&b, 150);
	beacon_beat(&b, 140);
	CHECK(page.dynamic.max_gap_ns == 50 && page.dynamic.max_gap_at_ns == 100 && page.dynamic.faults == 1);
	CHECK(page.record[2].guest_ns == 140 && page.record[2].seq == 3);
}

int main(void)
{
	test_siphash();
	test_words();
	test_gaps();
	printf("canary=000102030405060708090a0b0c0d0e0f\n");
	printf("key=f0e1d2c3b4a5968778695a4b3c2d1e0f\n");
	printf("boot=b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0\n");
	run("empty", "", 0, 0);
	run("five", "", 1, 5);
	run("wrapped", "", 0, 500);
	run("freeze", "mutant=freeze:50:40", 0, 150);
	run("rewind", "mutant=rewind:100", 0, 150);
	run("restart", "mutant=restart:100", 0, 150);
	run("canary", "mutant=canary:100", 0, 150);
	run("chain", "mutant=chain:100", 0, 150);
	run("other-vcpu", "mutant=chain:100 mutant.vcpu=1", 0, 150);
	return 0;
}
