/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: Mutants
 *
 * Guests that are wrong on purpose, each in one way, so that the lab can show that its witness would have noticed.
 * Everything else on the page stays right and signed: a mutant must be caught by the check that is named after it.
 *
 *   mutant=freeze:<after_ms>:<for_ms>   no beats for a while, then on as before
 *   mutant=rewind:<after_ms>            the state of <after_ms>/2 comes back, as from an old snapshot
 *   mutant=restart:<after_ms>           another boot id, beats from 1: a reboot nobody spoke of
 *   mutant=canary:<after_ms>            another canary in the header
 *   mutant=chain:<after_ms>             one wrong link, carried on from there
 *   mutant=bit:<after_ms>               one bit of one page of RAM that was filled is another
 *   mutant=page:<after_ms>              one such page is overwritten
 *   mutant=ram:<after_ms>               all such pages are
 *   mutant=move:<after_ms>              it beats on, on another page: the old one stays as it was
 *   mutant=split:<after_ms>             it beats on two pages at once
 *   mutant=still:<after_ms>             its clock stands still
 *   mutant=slow:<after_ms>              its clock runs at a hundredth
 *   mutant=ahead:<after_ms>:<by_ms>     its clock steps forward
 *   mutant=back:<after_ms>:<by_ms>      its clock steps back
 *   mutant=rare:<after_ms>              one beat of a hundred is left
 *   mutant.vcpu=<n>                     that vCPU only; all of them without it
 */
#ifndef MUTANT_H
#define MUTANT_H

#include "beacon.h"
#include "ram.h"
#include "words.h"

enum mutant_kind {
	MUTANT_NONE,
	MUTANT_FREEZE,
	MUTANT_REWIND,
	MUTANT_RESTART,
	MUTANT_CANARY,
	MUTANT_CHAIN,
	MUTANT_BIT,
	MUTANT_PAGE,
	MUTANT_RAM,
	MUTANT_MOVE,
	MUTANT_SPLIT,
	MUTANT_STILL,
	MUTANT_SLOW,
	MUTANT_AHEAD,
	MUTANT_BACK,
	MUTANT_RARE,
};

#define MUTANT_SHARE 100

#define MUTANT_ALL_VCPUS (~0ull)

/* What the command line asked for. */
struct mutation {
	enum mutant_kind kind;
	uint64_t after_ns;
	uint64_t for_ns; /* or by how much its clock steps */
	uint64_t vcpu;
};

/* What one vCPU's mutant has come to. */
struct mutant {
	struct mutation todo;
	const struct ram *ram;
	struct beacon_page *spare;
	uint64_t born_ns;
	uint64_t beats; /* that were due since it turned */
	int saved;
	int done;
	struct beacon old;
	struct beacon_page old_page;
};

static inline enum mutant_kind mutant_take_kind(const char **at)
{
	static const struct {
		const char *name;
		enum mutant_kind kind;
	} kinds[] = {
		{ "freeze:", MUTANT_FREEZE }, { "rewind:", MUTANT_REWIND }, { "restart:", MUTANT_RESTART },
		{ "canary:", MUTANT_CANARY }, { "chain:", MUTANT_CHAIN },   { "bit:", MUTANT_BIT },
		{ "page:", MUTANT_PAGE },     { "ram:", MUTANT_RAM },	    { "move:", MUTANT_MOVE },
		{ "split:", MUTANT_SPLIT },   { "still:", MUTANT_STILL },   { "slow:", MUTANT_SLOW },
		{ "ahead:", MUTANT_AHEAD },   { "back:", MUTANT_BACK },	    { "rare:", MUTANT_RARE },
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const char *rest = word_after(*at, kinds[i].name);

		if (rest) {
			*at = rest;
			return kinds[i].kind;
		}
	}
	return MUTANT_NONE;
}

static inline int mutant_has_two_times(enum mutant_kind kind)
{
	return kind == MUTANT_FREEZE || kind == MUTANT_AHEAD || kind == MUTANT_BACK;
}

static inline int mutant_take_ms(const char **at, uint64_t *ns)
{
	return word_take_u64(at, ns) && !__builtin_mul_overflow(*ns, 1000000ull, ns);
}

/* 0 if the word is there and wrong: a mutant that silently is none would make a test pass for nothing. */
static inline int mutant_parse(const char *line, struct mutation *todo)
{
	const char *at = word_find(line, "mutant=");

	beacon_zero(todo, sizeof(*todo));
	todo->vcpu = MUTANT_ALL_VCPUS;
	if (!word_u64(line, "mutant.vcpu=", &todo->vcpu))
		return 0;
	if (!at)
		return 1;
	todo->kind = mutant_take_kind(&at);
	if (todo->kind == MUTANT_NONE || !mutant_take_ms(&at, &todo->after_ns))
		return 0;
	if (mutant_has_two_times(todo->kind) && !(word_take(&at, ':') && mutant_take_ms(&at, &todo->for_ns)))
		return 0;
	return word_ends(*at);
}

/*
 * ram is the vCPU's; it is looked at when the mutant turns, and not before. spare is a page of its own, of zeros until
 * then.
 */
static inline void mutant_open(struct mutant *m, const struct mutation *todo, uint32_t vcpu, const struct ram *ram,
			       struct beacon_page *spare)
{
	beacon_zero(m, sizeof(*m));
	m->todo = *todo;
	m->ram = ram;
	m->spare = spare;
	if (todo->vcpu != MUTANT_ALL_VCPUS && todo->vcpu != vcpu)
		m->todo.kind = MUTANT_NONE;
}

static inline void mutant_save(struct mutant *m, const struct beacon *b)
{
	beacon_copy(&m->old, b, sizeof(m->old));
	beacon_copy(&m->old_page, b->page, sizeof(m->old_page));
	m->saved = 1;
}

static inline void mutant_rewind(struct mutant *m, struct beacon *b)
{
	beacon_copy(b, &m->old, sizeof(*b));
	beacon_copy(b->page, &m->old_page, sizeof(m->old_page));
}

/* The new boot id comes from the old one, so that all vCPUs agree on it as after a true reboot. */
static inline void mutant_restart(struct mutant *m, struct beacon *b)
{
	const struct beacon_header *h = &b->page->header;
	struct beacon_identity id = { .nvcpus = h->nvcpus, .period_ns = h->period_ns };
	uint64_t half[2];

	(void)m;
	half[0] = siphash24(b->key, h->boot_id, 16);
	half[1] = siphash24(b->key, half, 8);
	beacon_copy(id.boot_id, half, sizeof(half));
	beacon_copy(id.canary, h->canary, sizeof(id.canary));
	beacon_copy(id.key, b->key, sizeof(id.key));
	beacon_open(b, b->page, &id, h->vcpu);
}

static inline void mutant_canary(struct mutant *m, struct beacon *b)
{
	(void)m;
	b->page->header.canary[0] ^= 0xff;
	beacon_sign_header(b);
}

static inline void mutant_chain(struct mutant *m, struct beacon *b)
{
	(void)m;
	b->last.chain ^= 1;
}

/* In the middle of the window: neither the page that is verified next nor one that was filled just now. */
static inline uint64_t mutant_page(const struct ram *r)
{
	return r->verified + (r->filled - r->verified) / 2;
}

static inline void mutant_bit(struct mutant *m, struct beacon *b)
{
	(void)b;
	if (m->ram->filled > m->ram->verified)
		ram_at(m->ram, mutant_page(m->ram))[99] ^= 1ull << 33;
}

static inline void mutant_overwrite(const struct ram *r, uint64_t number)
{
	for (size_t i = 0; i < RAM_WORDS; i++)
		ram_at(r, number)[i] = 0x5a5a5a5a5a5a5a5aull;
}

static inline void mutant_overwrite_page(struct mutant *m, struct beacon *b)
{
	(void)b;
	if (m->ram->filled > m->ram->verified)
		mutant_overwrite(m->ram, mutant_page(m->ram));
}

static inline void mutant_overwrite_ram(struct mutant *m, struct beacon *b)
{
	(void)b;
	for (uint64_t number = m->ram->verified; number < m->ram->filled; number++)
		mutant_overwrite(m->ram, number);
}

static inline void mutant_copy_page(struct mutant *m, struct beacon *b)
{
	beacon_copy(m->spare, b->page, sizeof(*m->spare));
}

/* As the guest's kernel would migrate the page: whoever looks at the old one sees the last beat before that. */
static inline void mutant_move(struct mutant *m, struct beacon *b)
{
	mutant_copy_page(m, b);
	b->page = m->spare;
}

static inline void mutant_turn(struct mutant *m, struct beacon *b, uint64_t age)
{
	static void (*const deed[])(struct mutant *, struct beacon *) = {
		[MUTANT_REWIND] = mutant_rewind, [MUTANT_RESTART] = mutant_restart,
		[MUTANT_CANARY] = mutant_canary, [MUTANT_CHAIN] = mutant_chain,
		[MUTANT_BIT] = mutant_bit,	 [MUTANT_PAGE] = mutant_overwrite_page,
		[MUTANT_RAM] = mutant_overwrite_ram, [MUTANT_MOVE] = mutant_move,
		[MUTANT_RARE] = NULL, /* the last one: of those left out, nothing is done once */
	};

	if (!m->saved && age >= m->todo.after_ns / 2)
		mutant_save(m, b);
	if (!m->done && age >= m->todo.after_ns) {
		m->done = 1;
		if (deed[m->todo.kind])
			deed[m->todo.kind](m, b);
	}
}

/* 0: do not beat now. */
static inline int mutant_lets_beat(struct mutant *m, uint64_t age)
{
	if (m->todo.kind == MUTANT_FREEZE)
		return age < m->todo.after_ns || age - m->todo.after_ns >= m->todo.for_ns;
	if (m->todo.kind == MUTANT_RARE && m->done)
		return m->beats++ % MUTANT_SHARE == 0;
	return 1;
}

/* What its clock shows. */
static inline uint64_t mutant_clock(const struct mutant *m, uint64_t now)
{
	uint64_t turned = m->born_ns + m->todo.after_ns;

	if (!m->done)
		return now;
	switch (m->todo.kind) {
	case MUTANT_STILL:
		return turned;
	case MUTANT_SLOW:
		return turned + (now - turned) / MUTANT_SHARE;
	case MUTANT_AHEAD:
		return now + m->todo.for_ns;
	case MUTANT_BACK:
		return now - m->todo.for_ns;
	default:
		return now;
	}
}

/* In place of beacon_beat(). */
static inline void mutant_beat(struct mutant *m, struct beacon *b, uint64_t now)
{
	uint64_t age;

	if (m->todo.kind == MUTANT_NONE) {
		beacon_beat(b, now);
		return;
	}
	if (!m->born_ns)
		m->born_ns = now;
	age = now - m->born_ns;
	if (m->todo.kind != MUTANT_FREEZE)
		mutant_turn(m, b, age);
	if (!mutant_lets_beat(m, age))
		return;
	beacon_beat(b, mutant_clock(m, now));
	if (m->todo.kind == MUTANT_SPLIT && m->done)
		mutant_copy_page(m, b);
}

#endif
