/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: The beacon page
 *
 * The one definition of what a guest leaves in its own memory for the witness to read from outside: one page per
 * vCPU, little endian, a header that never changes, the last beat, and a ring of the last 192 beats.
 * Includes nothing but <stdint.h> and <stddef.h>: bare metal, Linux and the host tests compile the same text.
 *
 * Version 1 ends with dyn_sum, and its bytes up to the ring are zeros. Version 2 has there what the guest saw of its
 * RAM and which of its records were acknowledged, both signed with the beat that they came with, and room for a
 * challenge and its answer. The challenge is written by whoever asks, at any time, so no sum covers it; the answer is
 * a MAC, and needs none. Both are zeros as long as nobody asks.
 *
 * The reader shares no lock with the writer. It takes a page as whole only if the sums match, and reads again if
 * they do not; hence the order of writes in beacon_beat() and beacon_publish().
 */
#ifndef BEACON_H
#define BEACON_H

#include <stddef.h>
#include <stdint.h>

#define BEACON_MAGIC "CTLBEACN"
#define BEACON_VERSION 2
#define BEACON_RECORDS 192
#define BEACON_PERIOD_NS 1000000ull
/* In place of a number of pages: this vCPU verifies none. */
#define BEACON_NO_RAM (~0ull)

/* Constant after beacon_open(). */
struct beacon_header {
	uint8_t magic[8];
	uint32_t version;
	uint32_t vcpu;
	uint8_t canary[16];
	uint8_t boot_id[16];
	uint32_t nvcpus;
	uint32_t records;
	uint64_t period_ns;
	uint64_t static_sum;
	uint8_t reserved_0x048[0x080 - 0x048];
};

/* Written at each beat, by the vCPU that owns the page; the last two fields are not. */
struct beacon_dynamic {
	uint64_t seq;
	uint64_t guest_ns;
	uint64_t chain;
	uint64_t max_gap_ns;
	uint64_t max_gap_at_ns;
	uint64_t faults;
	uint64_t irqs;
	uint64_t dyn_sum; /* over all before the challenge, itself taken as 0 */
	uint64_t ram_verified;	 /* pages of RAM that were found as they were filled, or BEACON_NO_RAM */
	uint64_t ram_mismatches; /* and that were not */
	uint64_t acknowledged;	 /* the number of the last record that was acknowledged to the guest */
	uint64_t acknowledged_link;
	uint8_t challenge[16];
	uint8_t answer[16];
};

struct beacon_record {
	uint64_t guest_ns;
	uint64_t chain;
	uint32_t seq;
} __attribute__((packed));

struct beacon_page {
	struct beacon_header header;
	struct beacon_dynamic dynamic;
	struct beacon_record record[BEACON_RECORDS];
} __attribute__((aligned(4096)));

#define BEACON_AT(t, m, o) _Static_assert(offsetof(struct t, m) == (o), #m " is not at " #o)
BEACON_AT(beacon_header, vcpu, 0x0c);
BEACON_AT(beacon_header, canary, 0x10);
BEACON_AT(beacon_header, boot_id, 0x20);
BEACON_AT(beacon_header, nvcpus, 0x30);
BEACON_AT(beacon_header, period_ns, 0x38);
BEACON_AT(beacon_header, static_sum, 0x40);
BEACON_AT(beacon_page, dynamic, 0x80);
BEACON_AT(beacon_dynamic, max_gap_ns, 0x98 - 0x80);
BEACON_AT(beacon_dynamic, faults, 0xa8 - 0x80);
BEACON_AT(beacon_dynamic, dyn_sum, 0xb8 - 0x80);
BEACON_AT(beacon_dynamic, ram_verified, 0xc0 - 0x80);
BEACON_AT(beacon_dynamic, ram_mismatches, 0xc8 - 0x80);
BEACON_AT(beacon_dynamic, acknowledged, 0xd0 - 0x80);
BEACON_AT(beacon_dynamic, acknowledged_link, 0xd8 - 0x80);
BEACON_AT(beacon_dynamic, challenge, 0xe0 - 0x80);
BEACON_AT(beacon_dynamic, answer, 0xf0 - 0x80);
BEACON_AT(beacon_page, record, 0x100);
_Static_assert(sizeof(struct beacon_record) == 20, "a record is 20 bytes");
_Static_assert(sizeof(struct beacon_page) == 4096, "a beacon is one page");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the page is little endian");

/*
 * The writer's own state. Kept apart from the page, so that damage to the page is seen by the witness and not
 * carried on into the chain.
 */
struct beacon {
	struct beacon_page *page;
	uint8_t key[16];
	struct beacon_dynamic last;
};

/* What a beacon is opened with; the same for all vCPUs but for the number. */
struct beacon_identity {
	uint8_t canary[16];
	uint8_t key[16];
	uint8_t boot_id[16];
	uint32_t nvcpus;
	uint64_t period_ns;
};

/* Bytes, one by one: a library's memcpy is not there on bare metal, and nothing here is large. */
static inline void beacon_copy(void *to, const void *from, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile uint8_t *)to)[i] = ((const uint8_t *)from)[i];
}

static inline void beacon_zero(void *to, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile uint8_t *)to)[i] = 0;
}

static inline uint64_t beacon_load64(const uint8_t *from)
{
	uint64_t value = 0;

	for (int i = 7; i >= 0; i--)
		value = value << 8 | from[i];
	return value;
}

static inline uint64_t beacon_rotate(uint64_t value, int by)
{
	return value << by | value >> (64 - by);
}

static inline void beacon_sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = beacon_rotate(v[1], 13) ^ v[0];
	v[0] = beacon_rotate(v[0], 32);
	v[2] += v[3];
	v[3] = beacon_rotate(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = beacon_rotate(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = beacon_rotate(v[1], 17) ^ v[2];
	v[2] = beacon_rotate(v[2], 32);
}

static inline void beacon_sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	beacon_sip_round(v);
	beacon_sip_round(v);
	v[0] ^= word;
}

/* SipHash-2-4, after Aumasson and Bernstein: small, keyed, and in reach of a page of Python on the other side. */
static inline uint64_t siphash24(const uint8_t key[16], const void *bytes, size_t size)
{
	const uint8_t *at = bytes;
	uint64_t k0 = beacon_load64(key), k1 = beacon_load64(key + 8);
	uint64_t v[4] = {
		k0 ^ 0x736f6d6570736575ull, k1 ^ 0x646f72616e646f6dull,
		k0 ^ 0x6c7967656e657261ull, k1 ^ 0x7465646279746573ull,
	};
	uint64_t tail = (uint64_t)size << 56;

	for (size_t left = size / 8; left; left--, at += 8)
		beacon_sip_word(v, beacon_load64(at));
	for (size_t i = 0; i < size % 8; i++)
		tail |= (uint64_t)at[i] << (8 * i);
	beacon_sip_word(v, tail);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		beacon_sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* A reader on another CPU must not see what follows before what precedes. */
static inline void beacon_order(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static inline uint64_t beacon_first_chain(const uint8_t key[16], const uint8_t boot_id[16], uint64_t vcpu)
{
	uint8_t seed[24];

	beacon_copy(seed, boot_id, 16);
	beacon_copy(seed + 16, &vcpu, 8);
	return siphash24(key, seed, sizeof(seed));
}

static inline uint64_t beacon_next_chain(const struct beacon *b, uint64_t seq, uint64_t guest_ns)
{
	uint64_t link[3] = { b->last.chain, seq, guest_ns };

	return siphash24(b->key, link, sizeof(link));
}

/*
 * The sum goes last: until it is there the reader holds the page for torn. Challenge and answer are not the beat's to
 * write.
 */
static inline void beacon_publish(struct beacon *b)
{
	struct beacon_dynamic *out = &b->page->dynamic;
	size_t after = offsetof(struct beacon_dynamic, ram_verified), end = offsetof(struct beacon_dynamic, challenge);
	uint64_t sum;

	b->last.dyn_sum = 0;
	sum = siphash24(b->key, &b->last, end);
	beacon_order();
	beacon_copy(out, &b->last, offsetof(struct beacon_dynamic, dyn_sum));
	beacon_copy((uint8_t *)out + after, (const uint8_t *)&b->last + after, end - after);
	beacon_order();
	out->dyn_sum = sum;
	beacon_order();
}

static inline void beacon_sign_header(struct beacon *b)
{
	struct beacon_header *h = &b->page->header;

	beacon_order();
	h->static_sum = siphash24(b->key, h, offsetof(struct beacon_header, static_sum));
	beacon_order();
}

/* Make a whole page with no beat in it: seq 0, guest_ns 0, and the first chain value. */
static inline void beacon_open(struct beacon *b, struct beacon_page *page, const struct beacon_identity *id,
			       uint32_t vcpu)
{
	struct beacon_header *h = &page->header;

	beacon_zero(page, sizeof(*page));
	beacon_zero(b, sizeof(*b));
	b->page = page;
	beacon_copy(b->key, id->key, sizeof(b->key));
	beacon_copy(h->magic, BEACON_MAGIC, sizeof(h->magic));
	h->version = BEACON_VERSION;
	h->vcpu = vcpu;
	beacon_copy(h->canary, id->canary, sizeof(h->canary));
	beacon_copy(h->boot_id, id->boot_id, sizeof(h->boot_id));
	h->nvcpus = id->nvcpus;
	h->records = BEACON_RECORDS;
	h->period_ns = id->period_ns;
	b->last.chain = beacon_first_chain(id->key, id->boot_id, vcpu);
	beacon_publish(b);
	beacon_sign_header(b);
}

/* The guest's own view of its longest silence, and of a clock that ran backwards. */
static inline void beacon_note_gap(struct beacon *b, uint64_t now)
{
	if (!b->last.seq)
		return;
	if (now < b->last.guest_ns) {
		b->last.faults++;
	} else if (now - b->last.guest_ns > b->last.max_gap_ns) {
		b->last.max_gap_ns = now - b->last.guest_ns;
		b->last.max_gap_at_ns = b->last.guest_ns;
	}
}

static inline void beacon_beat(struct beacon *b, uint64_t now)
{
	uint64_t seq = b->last.seq + 1;
	struct beacon_record *slot = &b->page->record[(seq - 1) % BEACON_RECORDS];

	beacon_note_gap(b, now);
	b->last.chain = beacon_next_chain(b, seq, now);
	b->last.guest_ns = now;
	b->last.seq = seq;
	slot->guest_ns = now;
	slot->chain = b->last.chain;
	slot->seq = (uint32_t)seq;
	beacon_publish(b);
}

#endif
