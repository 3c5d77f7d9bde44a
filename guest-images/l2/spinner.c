// SPDX-License-Identifier: Apache-2.0
/*
 * The guest that needs nothing from anybody: interrupts off, no HLT, no PAUSE, no I/O, so no exits of its own making.
 * PAUSE is left out because KVM's pause-loop exiting would count it.
 */
#include "bare.h"

void payload_run(struct vcpu *vcpu)
{
	uint64_t next = clock_ns(vcpu), last = 0;

	for (;;) {
		uint64_t now = clock_ns(vcpu);

		/* A clock that fell back is worth a beat too: it shows the fault. */
		if (now < next && now >= last)
			continue;
		bare_beat(vcpu, now);
		bare_witness_ram(vcpu);
		next = now + vcpu->period_ns;
		last = now;
	}
}

/* Nobody starts the timer here; the architecture's interrupt handler is linked all the same. */
void timer_tick(struct vcpu *vcpu)
{
	(void)vcpu;
}
