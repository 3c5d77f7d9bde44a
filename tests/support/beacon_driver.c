// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's own beacon, and its mutants, in user space: reads guest times in nanoseconds, beats at each, and writes
 * its page and its spare one when the time is 0. The test of the witness talks to it through pipes.
 */
#include <stdio.h>
#include <stdlib.h>

#include "options.h"

#define REGION_PAGES 4096

int main(int argc, char **argv)
{
	static const uint8_t boot_id[16] = "a boot of sixten";
	static struct beacon_page page, spare;
	static uint8_t region[REGION_PAGES * RAM_PAGE] __attribute__((aligned(RAM_PAGE)));
	struct options o;
	struct mutant m;
	struct beacon b;
	struct ram r;
	unsigned long long now;
	const char *wrong = argc == 2 ? options_parse(argv[1], &o) : "wants one argument, the command line";

	if (wrong) {
		fprintf(stderr, "%s\n", wrong);
		return 1;
	}
	beacon_copy(o.id.boot_id, boot_id, sizeof(boot_id));
	o.id.nvcpus = 1;
	beacon_open(&b, &page, &o.id, 0);
	ram_open(&r, &o.id, 0, region, REGION_PAGES, REGION_PAGES * o.ram / 100);
	ram_show(&r, &b);
	mutant_open(&m, &o.mutation, 0, &r, &spare);
	while (scanf("%llu", &now) == 1) {
		if (now) {
			mutant_beat(&m, &b, now);
			for (uint64_t done = 0; ram_may_go_on(&r, done, now, now); done++)
				ram_step(&r, now);
			ram_show(&r, &b);
			continue;
		}
		fwrite(&page, sizeof(page), 1, stdout);
		fwrite(&spare, sizeof(spare), 1, stdout);
		fflush(stdout);
	}
	return 0;
}
