// SPDX-License-Identifier: Apache-2.0
/*
 * The guest that needs its timer: HLT until the interrupt, and a beat in the handler. It stops when interrupts do.
 * With beacon.relay=1 all but the first vCPU need IPIs instead, and stop when those do.
 */
#include "bare.h"

void timer_tick(struct vcpu *vcpu)
{
	vcpu->beacon.last.irqs++;
	bare_beat(vcpu, clock_ns(vcpu));
	if (vcpu->calls)
		ipi_send(vcpu->calls);
}

void payload_run(struct vcpu *vcpu)
{
	if (!vcpu->is_called)
		timer_start(vcpu);
	for (;;) {
		arch_idle();
		bare_witness_ram(vcpu);
		bare_chat(vcpu);
	}
}
