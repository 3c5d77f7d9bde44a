/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: RAM as a witness
 *
 * Beats show that a guest runs, and not that its memory is still its own. So each vCPU fills pages of a region of RAM
 * with a pattern of the guest's key, and some seconds later looks whether it is still there. The filled pages are a
 * window that slides through the region, round and round: the oldest page is verified and leaves it, the next one is
 * filled and enters. So each page is verified once, one pass after it was filled, and in the end all of the region was
 * in the window.
 *
 * Pages are numbered from the first one on and never again alike; page n lies at n % pages. A pattern is made of that
 * number, so a page that was exchanged for another one, or for what it was a round before, is not the right one.
 *
 * All of it is done in bursts behind a beat, of a tenth of the time to the next one at the most: it holds up no beat,
 * and a guest that sleeps between its beats still does.
 */
#ifndef RAM_H
#define RAM_H

#include "beacon.h"

#define RAM_PAGE 4096
#define RAM_WORDS (RAM_PAGE / 8)
/* How long a pass is meant to take, and how long it may. */
#define RAM_PASS_NS 2000000000ull
#define RAM_PASS_MOST_NS 5000000000ull
/* One part in so many of a vCPU's time. */
#define RAM_SHARE 10
/* Any odd number whose bits are mixed; this one is 2^64 over the golden ratio. */
#define RAM_STRIDE 0x9e3779b97f4a7c15ull

struct ram {
	uint8_t *base;
	uint64_t pages; /* of the region; 0: there is none */
	uint64_t most;	/* that the window may have */
	uint64_t goal;	/* and that it is to have now */
	uint64_t steps; /* in a burst, at the most */
	uint64_t burst_ns;
	uint64_t filled, verified, mismatches; /* how many pages ever were */
	uint64_t mark, mark_verified, mark_ns; /* what was filled and verified when this pass began, and when */
	uint64_t vcpu;
	uint8_t key[16];
};

/*
 * Set up vCPU's part of the region: base and pages are of all vCPUs, and so is most, the number of pages that may be
 * filled at once.
 */
static inline void ram_open(struct ram *r, const struct beacon_identity *id, uint32_t vcpu, void *base, uint64_t pages,
			    uint64_t most)
{
	uint64_t passes_in = RAM_PASS_NS / id->period_ns;

	beacon_zero(r, sizeof(*r));
	r->vcpu = vcpu;
	beacon_copy(r->key, id->key, sizeof(r->key));
	r->pages = pages / id->nvcpus;
	r->base = (uint8_t *)base + r->pages * vcpu * RAM_PAGE;
	r->most = most / id->nvcpus;
	if (r->most > r->pages / 2)
		r->most = r->pages / 2;
	if (!r->most)
		r->pages = 0;
	r->goal = r->most;
	r->steps = passes_in ? r->most / passes_in + 1 : r->most;
	r->burst_ns = id->period_ns / RAM_SHARE;
}

static inline uint64_t *ram_at(const struct ram *r, uint64_t number)
{
	return (uint64_t *)(r->base + number % r->pages * RAM_PAGE);
}

static inline uint64_t ram_seed(const struct ram *r, uint64_t number)
{
	uint64_t who[2] = { r->vcpu, number };

	return siphash24(r->key, who, sizeof(who));
}

static inline void ram_fill(struct ram *r)
{
	uint64_t word = ram_seed(r, r->filled), *at = ram_at(r, r->filled);

	for (size_t i = 0; i < RAM_WORDS; i++, word += RAM_STRIDE)
		at[i] = word;
	r->filled++;
}

/* Read past the compiler, which saw the page being filled and may know better. */
static inline void ram_verify(struct ram *r)
{
	uint64_t word = ram_seed(r, r->verified), wrong = 0;
	const volatile uint64_t *at = ram_at(r, r->verified);

	for (size_t i = 0; i < RAM_WORDS; i++, word += RAM_STRIDE)
		wrong |= at[i] ^ word;
	r->mismatches += !!wrong;
	r->verified++;
}

/*
 * Once a pass: the window is to have as many pages as are verified in the longest time that a pass may take; half as
 * many as now at the least, for the guest may have stood still in between.
 */
static inline void ram_measure(struct ram *r, uint64_t now)
{
	uint64_t pass_us = (now - r->mark_ns) / 1000 + 1, window = r->filled - r->verified;
	uint64_t can = (r->verified - r->mark_verified) * (RAM_PASS_MOST_NS / 1000) / pass_us;

	if (can < window / 2 + 1)
		can = window / 2 + 1;
	if (r->mark_ns)
		r->goal = can < r->most ? can : r->most;
	r->mark = r->filled;
	r->mark_verified = r->verified;
	r->mark_ns = now;
}

/* The oldest page leaves the window; as many enter as let it grow by one at a time. */
static inline void ram_step(struct ram *r, uint64_t now)
{
	if (r->filled > r->verified) {
		if (r->verified >= r->mark)
			ram_measure(r, now);
		ram_verify(r);
	}
	for (int i = 0; i < 2 && r->filled - r->verified < r->goal; i++)
		ram_fill(r);
}

/* Whether a burst that began at `began` and has come to `done` steps may go on. It may always begin. */
static inline int ram_may_go_on(const struct ram *r, uint64_t done, uint64_t began, uint64_t now)
{
	return r->pages && done < r->steps && (!done || now - began < r->burst_ns);
}

/* To be shown with the next beat. */
static inline void ram_show(const struct ram *r, struct beacon *b)
{
	b->last.ram_verified = r->pages ? r->verified - r->mismatches : BEACON_NO_RAM;
	b->last.ram_mismatches = r->mismatches;
}

#endif
