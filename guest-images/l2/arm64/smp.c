// SPDX-License-Identifier: Apache-2.0
/*
 * PSCI CPU_ON: one vCPU after another, by affinity, which is the vCPU's number on the machines the lab makes.
 */
#include "../bare.h"
#include "cpu.h"
#include "smc.h"

#define PATIENCE_NS 10000000000ull

extern const uint8_t later_vcpu[];

/* Read by head.S; one vCPU starts at a time. */
uint64_t smp_stack;

int smp_boot(struct vcpu *vcpu, const struct vcpu *self)
{
	uint64_t start = clock_ns(self);

	smp_stack = (uintptr_t)bare_stack[vcpu->index] + BARE_STACK_SIZE;
	beacon_order();
	if (smc_call(PSCI_CPU_ON, vcpu->index, (uintptr_t)later_vcpu, (uintptr_t)vcpu).r[0])
		return 0;
	while (clock_ns(self) - start < PATIENCE_NS) {
		if (__atomic_load_n(&vcpu->running, __ATOMIC_ACQUIRE))
			return 1;
	}
	return 0;
}
