// SPDX-License-Identifier: Apache-2.0
/*
 * INIT, SIPI, SIPI: one vCPU after another, by APIC id, which is the vCPU's number on the machines the lab makes.
 */
#include "apic.h"
#include "clock.h"
#include "cpu.h"

#define INIT_NS 10000000ull
#define SIPI_NS 50000000ull
#define PATIENCE_NS 10000000000ull

extern const uint8_t trampoline[], trampoline_end[];

/* Read by head.S; one vCPU starts at a time. */
uint64_t smp_stack;
struct vcpu *smp_vcpu;

/* 1 as soon as the vCPU runs, 0 when the time is over. */
static int wait_running(const struct vcpu *vcpu, const struct vcpu *self, uint64_t ns)
{
	uint64_t start = clock_ns(self);

	while (clock_ns(self) - start < ns) {
		if (__atomic_load_n(&vcpu->running, __ATOMIC_ACQUIRE))
			return 1;
	}
	return 0;
}

int smp_boot(struct vcpu *vcpu, const struct vcpu *self)
{
	beacon_copy((void *)TRAMPOLINE, trampoline, (size_t)(trampoline_end - trampoline));
	smp_stack = (uintptr_t)bare_stack[vcpu->index] + BARE_STACK_SIZE;
	smp_vcpu = vcpu;
	beacon_order();
	apic_send(vcpu->index, APIC_INIT);
	wait_running(vcpu, self, INIT_NS);
	apic_send(vcpu->index, APIC_STARTUP | TRAMPOLINE_PAGE);
	if (wait_running(vcpu, self, SIPI_NS))
		return 1;
	apic_send(vcpu->index, APIC_STARTUP | TRAMPOLINE_PAGE);
	return wait_running(vcpu, self, PATIENCE_NS);
}
