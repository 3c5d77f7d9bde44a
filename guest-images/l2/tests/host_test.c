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

#define REGION_PAGES 64

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
	CHECK(options_parse(LINE " mutant=ahead:1", &o) && options_parse(LINE " mutant=back:1", &o));
	CHECK(options_parse(LINE " mutant=move:1:1", &o) && options_parse(LINE " mutant=slow:1:1", &o));
	CHECK(options_parse(LINE " mutant=freeze:1", &o) && options_parse(LINE " mutant=chain:1x", &o));
	CHECK(!options_parse("console=ttyS0 " LINE " vcpus=3 tsc_khz=5\n", &o));
	CHECK(o.vcpus == 3 && o.tsc_khz == 5 && o.id.canary[15] == 15 && o.id.key[0] == 0xf0);
	CHECK(!options_parse(LINE " beacon.period_us=250 mutant=freeze:20:30", &o));
	CHECK(o.id.period_ns == 250000 && o.mutation.after_ns == 20000000 && o.mutation.for_ns == 30000000);
	CHECK(o.ram == 25 && options_parse(LINE " beacon.ram=51", &o) && options_parse(LINE " beacon.ram=x", &o));
	CHECK(!options_parse(LINE " beacon.ram=0 mutant=bit:1", &o) && !o.ram);
	CHECK(!o.relay && options_parse(LINE " beacon.relay=2", &o));
	CHECK(!options_parse(LINE " beacon.relay=1", &o) && o.relay);
}

static uint8_t region[REGION_PAGES * RAM_PAGE] __attribute__((aligned(RAM_PAGE)));
static const struct beacon_identity of_two = { .nvcpus = 2, .period_ns = BEACON_PERIOD_NS };

static void test_ram_windows(void)
{
	struct ram r[2], none;
	uint64_t least = REGION_PAGES, most = 0;

	for (uint32_t i = 0; i < 2; i++)
		ram_open(&r[i], &of_two, i, region, REGION_PAGES, REGION_PAGES / 4);
	CHECK(r[0].pages == REGION_PAGES / 2 && r[0].goal == REGION_PAGES / 8);
	CHECK(r[1].base == r[0].base + r[0].pages * RAM_PAGE);
	for (uint64_t step = 1; step < 3 * REGION_PAGES; step++) {
		uint64_t window;

		ram_step(&r[0], step * 1000000);
		ram_step(&r[1], step * 1000000);
		window = r[0].filled - r[0].verified;
		CHECK(window <= r[0].goal && window >= (step < r[0].goal ? step : r[0].goal));
		least = window < least ? window : least;
		most = window > most ? window : most;
	}
	CHECK(most == r[0].most && r[0].verified == 3 * REGION_PAGES - 2 && !r[0].mismatches && !r[1].mismatches);
	ram_open(&none, &of_two, 0, region, 3, 3);
	CHECK(!none.pages && !ram_may_go_on(&none, 0, 0, 0));
}

/* Each bit of a filled page counts; so does a page that is another one, or was right a round before. */
static void test_ram_sees_what_changed(void)
{
	static uint8_t old[RAM_PAGE];
	struct ram r;
	uint64_t *at;

	ram_open(&r, &of_two, 0, region, REGION_PAGES, REGION_PAGES / 4);
	for (unsigned int bit = 0; bit < RAM_PAGE * 8; bit += 61) {
		uint64_t before = r.mismatches;

		ram_step(&r, 1);
		((uint8_t *)ram_at(&r, r.verified))[bit / 8] ^= (uint8_t)(1 << bit % 8);
		ram_step(&r, 1);
		CHECK(r.mismatches == before + 1);
	}
	r.mismatches = 0;
	at = ram_at(&r, r.verified);
	memcpy(old, at, RAM_PAGE);
	for (uint64_t from = r.verified; r.verified < from + r.pages; )
		ram_step(&r, 1);
	CHECK(!r.mismatches && ram_at(&r, r.verified) == at);
	memcpy(at, old, RAM_PAGE);
	ram_step(&r, 1);
	CHECK(r.mismatches == 1);
	memcpy(ram_at(&r, r.verified), ram_at(&r, r.verified + 1), RAM_PAGE);
	ram_step(&r, 1);
	CHECK(r.mismatches == 2);
}

/* A pass of more than 5 s makes the window smaller, one of less than half of that lets it grow again. */
static void test_ram_window_follows_the_time_of_a_pass(void)
{
	struct ram r;
	uint64_t now = 1, slow = 400000000, window;

	ram_open(&r, &of_two, 0, region, 4096, 1024);
	r.pages = REGION_PAGES, r.most = r.goal = REGION_PAGES / 2;
	for (int i = 0; i < 1000; i++)
		ram_step(&r, now += slow);
	window = r.filled - r.verified;
	CHECK(window < r.most && window * slow <= RAM_PASS_MOST_NS && window * slow >= RAM_PASS_MOST_NS / 4);
	for (int i = 0; i < 1000; i++)
		ram_step(&r, now += slow / 100);
	CHECK(r.filled - r.verified == r.most && !r.mismatches);
}

static void test_ram_bursts(void)
{
	struct ram r;

	ram_open(&r, &of_two, 0, region, 1 << 20, 1 << 18);
	CHECK(r.most == 1 << 17 && r.steps == (1 << 17) / 2000 + 1);
	CHECK(ram_may_go_on(&r, 0, 5, 5) && ram_may_go_on(&r, 1, 5, 100004) && !ram_may_go_on(&r, 1, 5, 100005));
	CHECK(!ram_may_go_on(&r, r.steps, 5, 5) && ram_may_go_on(&r, 0, 5, 5000000));
}

static void dump(const char *name, const struct beacon_page *page, unsigned int beats)
{
	const uint8_t *bytes = (const uint8_t *)page;

	printf("case=%s vcpu=%u beats=%u page=", name, page->header.vcpu, beats);
	for (size_t i = 0; i < sizeof(*page); i++)
		printf("%02x", bytes[i]);
	printf("\n");
}

/* A burst in which no time passes. */
static void burst(struct ram *r, uint64_t now)
{
	for (uint64_t done = 0; ram_may_go_on(r, done, now, now); done++)
		ram_step(r, now);
}

/* So many beats, 1 ms and a little apart, with one gap of 5 ms after the third. */
static void run(const char *name, const char *words, uint32_t vcpu, unsigned int beats)
{
	static struct beacon_page page, spare;
	char line[256];
	struct options o;
	struct beacon b;
	struct mutant m;
	struct ram r;
	uint64_t now = 1000000000;

	snprintf(line, sizeof(line), LINE " %s", words);
	CHECK(!options_parse(line, &o));
	o.id.nvcpus = 2;
	memset(o.id.boot_id, 0xb0, 16);
	beacon_open(&b, &page, &o.id, vcpu);
	ram_open(&r, &o.id, vcpu, region, REGION_PAGES, REGION_PAGES * o.ram / 100);
	ram_show(&r, &b);
	mutant_open(&m, &o.mutation, vcpu, &r, &spare);
	for (unsigned int i = 1; i <= beats; i++) {
		now += i == 4 ? 5000000 : 1000000 + i;
		mutant_beat(&m, &b, now);
		burst(&r, now);
		ram_show(&r, &b);
	}
	dump(name, &page, beats);
}

/* Beat each millisecond up to the time given, in milliseconds. */
static void beat_to(struct mutant *m, struct beacon *b, uint64_t *now_ms, uint64_t end_ms)
{
	for (; *now_ms <= end_ms; ++*now_ms)
		mutant_beat(m, b, *now_ms * 1000000);
}

static void turn(const char *words, struct beacon_page *page, struct beacon_page *spare)
{
	struct options o;
	struct beacon b;
	struct mutant m;
	struct ram r;
	uint64_t now_ms = 1000;
	char line[256];

	snprintf(line, sizeof(line), LINE " %s", words);
	CHECK(!options_parse(line, &o));
	o.id.nvcpus = 1;
	memset(spare, 0, sizeof(*spare));
	beacon_open(&b, page, &o.id, 0);
	ram_open(&r, &o.id, 0, region, REGION_PAGES, 0);
	mutant_open(&m, &o.mutation, 0, &r, spare);
	beat_to(&m, &b, &now_ms, 1099);
	CHECK(page->dynamic.seq == 100 && page->dynamic.guest_ns == 1099000000 && !spare->dynamic.seq);
	beat_to(&m, &b, &now_ms, 1299);
}

static void test_other_pages(void)
{
	static struct beacon_page page, spare;

	turn("mutant=move:100", &page, &spare);
	CHECK(page.dynamic.seq == 100 && spare.dynamic.seq == 300);
	turn("mutant=split:100", &page, &spare);
	CHECK(page.dynamic.seq == 300 && !memcmp(&page, &spare, sizeof(page)));
}

static void test_other_clocks(void)
{
	static const struct {
		const char *words;
		uint64_t seq, guest_ns;
	} turns[] = {
		{ "mutant=still:100", 300, 1100000000 },    { "mutant=slow:100", 300, 1101990000 },
		{ "mutant=ahead:100:500", 300, 1799000000 }, { "mutant=back:100:500", 300, 799000000 },
		{ "mutant=rare:100", 102, 1200000000 },
	};
	static struct beacon_page page, spare;

	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		turn(turns[i].words, &page, &spare);
		CHECK(page.dynamic.seq == turns[i].seq && page.dynamic.guest_ns == turns[i].guest_ns);
		CHECK(!spare.dynamic.seq);
	}
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

#define FIELD(m) \
	(unsigned int)offsetof(struct beacon_page, dynamic.m), (unsigned int)sizeof(((struct beacon_dynamic *)0)->m)

/* What version 2 added: where it is, how large, and a page in which each has another value. */
static void dump_more(void)
{
	static struct beacon_page page;
	struct options o;
	struct beacon b;

	CHECK(!options_parse(LINE, &o));
	o.id.nvcpus = 1;
	beacon_open(&b, &page, &o.id, 0);
	b.last.ram_verified = 11, b.last.ram_mismatches = 22, b.last.acknowledged = 33, b.last.acknowledged_link = 44;
	for (uint8_t i = 0; i < 16; i++)
		page.dynamic.challenge[i] = i, page.dynamic.answer[i] = 16 + i;
	beacon_beat(&b, 1000000000);
	dump("more", &page, 1);
	printf("layout %#x:%u %#x:%u", FIELD(ram_verified), FIELD(ram_mismatches));
	printf(" %#x:%u %#x:%u", FIELD(acknowledged), FIELD(acknowledged_link));
	printf(" %#x:%u %#x:%u\n", FIELD(challenge), FIELD(answer));
}

int main(void)
{
	test_siphash();
	test_words();
	test_gaps();
	test_other_pages();
	test_other_clocks();
	test_ram_windows();
	test_ram_sees_what_changed();
	test_ram_window_follows_the_time_of_a_pass();
	test_ram_bursts();
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
	run("no-ram", "beacon.ram=0", 0, 5);
	dump_more();
	run("bit", "mutant=bit:100", 0, 150);
	run("page", "mutant=page:100", 0, 150);
	run("ram", "mutant=ram:100", 0, 150);
	run("other-vcpu", "mutant=chain:100 mutant.vcpu=1", 0, 150);
	return 0;
}
