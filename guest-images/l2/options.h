/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a guest is told by its command line:
 *
 *   beacon=<canary, 32 hex digits>:<key, 32 hex digits>    required
 *   beacon.period_us=1000                                  1 to 1000000
 *   beacon.ram=25                                          percent of RAM to fill and verify at once, up to 50; see ram.h
 *   beacon.work=1                                          Linux: memory and fork load beside the beats
 *   beacon.chat_ms=0                                       Linux, ticker: print "CHAT <n>" each so many ms, n from 0
 *   beacon.relay=0                                         ticker: if 1, only the first vCPU has a timer; each has the
 *                                                          next beat by an IPI
 *   vcpus=1                                                bare metal: how many to start
 *   tsc_khz=<n>                                            bare metal: rate of the TSC where there is no kvmclock
 *   mutant=... mutant.vcpu=...                             see mutant.h
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "beacon.h"
#include "mutant.h"
#include "ram.h"
#include "words.h"

struct options {
	struct beacon_identity id; /* all but boot_id and nvcpus */
	struct mutation mutation;
	uint64_t vcpus;
	uint64_t tsc_khz;
	uint64_t ram;
	uint64_t work;
	uint64_t chat_ms;
	uint64_t relay;
};

static inline int options_take_secret(const char *line, struct beacon_identity *id)
{
	const char *at = word_find(line, "beacon=");

	return at && word_take_hex(&at, id->canary, 16) && word_take(&at, ':') &&
	       word_take_hex(&at, id->key, 16) && word_ends(*at);
}

/* NULL, or what is wrong and what to type instead. */
static inline const char *options_parse(const char *line, struct options *o)
{
	uint64_t period_us = BEACON_PERIOD_NS / 1000;

	beacon_zero(o, sizeof(*o));
	o->vcpus = 1;
	o->ram = 25;
	if (!options_take_secret(line, &o->id))
		return "no word beacon=<canary, 32 hex digits>:<key, 32 hex digits>";
	if (!word_u64(line, "beacon.period_us=", &period_us) || !period_us || period_us > 1000000)
		return "beacon.period_us= wants a number from 1 to 1000000";
	if (!word_u64(line, "vcpus=", &o->vcpus) || !o->vcpus)
		return "vcpus= wants a number from 1";
	if (!word_u64(line, "tsc_khz=", &o->tsc_khz))
		return "tsc_khz= wants a number";
	if (!word_u64(line, "beacon.ram=", &o->ram) || o->ram > 50)
		return "beacon.ram= wants a number up to 50";
	if (!word_u64(line, "beacon.work=", &o->work))
		return "beacon.work= wants 0 or 1";
	if (!word_u64(line, "beacon.chat_ms=", &o->chat_ms) || o->chat_ms > 1000000)
		return "beacon.chat_ms= wants a number up to 1000000";
	if (!word_u64(line, "beacon.relay=", &o->relay) || o->relay > 1)
		return "beacon.relay= wants 0 or 1";
	if (!mutant_parse(line, &o->mutation))
		return "mutant= wants freeze:<after_ms>:<for_ms>, ahead|back:<after_ms>:<by_ms>, or "
		       "rewind|restart|canary|chain|bit|page|ram|move|split|still|slow|rare:<after_ms>";
	o->id.period_ns = period_us * 1000;
	return NULL;
}

#endif
