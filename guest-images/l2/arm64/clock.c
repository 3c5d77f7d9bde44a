// SPDX-License-Identifier: Apache-2.0
/*
 * Nanoseconds: the virtual counter, which is one for all vCPUs and says its rate itself.
 */
#include "clock.h"
#include "cpu.h"

static uint64_t ns_per_tick; /* in units of 2^-32 */
static uint64_t hz;

const char *clock_init(uint64_t tsc_khz)
{
	(void)tsc_khz;
	hz = sysreg_read("cntfrq_el0") & 0xffffffff;
	if (!hz)
		return "CNTFRQ_EL0 is 0: whoever started this machine did not say how fast its counter is";
	ns_per_tick = (1000000000ull << 32) / hz;
	return NULL;
}

void clock_start(struct vcpu *vcpu)
{
	(void)vcpu;
}

uint64_t clock_ns(const struct vcpu *vcpu)
{
	(void)vcpu;
	return (uint64_t)((unsigned __int128)read_counter() * ns_per_tick >> 32);
}

uint64_t clock_ticks(uint64_t ns)
{
	return (ns << 32) / ns_per_tick;
}
