// SPDX-License-Identifier: Apache-2.0
/*
 * Nanoseconds: kvmclock where KVM is, else the TSC at a rate that the command line gives. Both are one structure and
 * one sum. The host writes it, and may rewrite it at any time; a host that is gone leaves it good as it was.
 */
#include "clock.h"
#include "cpu.h"

#define KVM_FEATURE_CLOCKSOURCE2 (1u << 3)

/* As in Linux's pvclock-abi.h. */
struct pvclock {
	uint32_t version;
	uint32_t reserved_0x04;
	uint64_t tsc_timestamp;
	uint64_t system_time;
	uint32_t tsc_to_system_mul;
	int8_t tsc_shift;
	uint8_t flags;
	uint8_t reserved_0x1e[2];
};
_Static_assert(sizeof(struct pvclock) == 32, "pvclock is 32 bytes");

/* Within one page each, which its size and alignment give: the host maps one page. */
static volatile struct pvclock clocks[BARE_MAX_VCPUS] __attribute__((aligned(64)));
static int have_kvmclock;

/* KVM's leaves may be above those of another interface that it offers as well. */
static uint32_t find_kvm_features(void)
{
	for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
		struct cpuid r = cpuid(leaf);

		if (r.ebx == 0x4b4d564b && r.ecx == 0x564b4d56 && r.edx == 0x4d) /* "KVMKVMKVM" */
			return cpuid(leaf + 1).eax;
	}
	return 0;
}

/* Fill in by hand what KVM would, so that the reader need not know. */
static void set_rate(volatile struct pvclock *clock, uint64_t tsc_khz)
{
	clock->tsc_shift = 0;
	for (; tsc_khz <= 1000000; tsc_khz *= 2)
		clock->tsc_shift++;
	clock->tsc_to_system_mul = (uint32_t)((1000000ull << 32) / tsc_khz);
}

const char *clock_init(uint64_t tsc_khz)
{
	have_kvmclock = (cpuid(1).ecx & 1u << 31) && (find_kvm_features() & KVM_FEATURE_CLOCKSOURCE2);
	if (have_kvmclock)
		return NULL;
	if (!tsc_khz)
		return "there is no kvmclock here; add tsc_khz=<rate of the TSC>";
	for (size_t i = 0; i < BARE_MAX_VCPUS; i++)
		set_rate(&clocks[i], tsc_khz);
	return NULL;
}

void clock_start(struct vcpu *vcpu)
{
	if (have_kvmclock)
		wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uintptr_t)&clocks[vcpu->index] | 1);
}

/* Odd, or changed while reading: the host was writing. */
uint64_t clock_ns(const struct vcpu *vcpu)
{
	volatile struct pvclock *clock = &clocks[vcpu->index];
	uint32_t version;
	uint64_t ticks, ns;

	do {
		version = clock->version;
		ticks = rdtsc() - clock->tsc_timestamp;
		ticks = clock->tsc_shift < 0 ? ticks >> -clock->tsc_shift : ticks << clock->tsc_shift;
		ns = clock->system_time;
		ns += (uint64_t)((unsigned __int128)ticks * clock->tsc_to_system_mul >> 32);
	} while (version & 1 || version != clock->version);
	return ns;
}

uint64_t clock_ticks(const struct vcpu *vcpu, uint64_t ns)
{
	volatile struct pvclock *clock = &clocks[vcpu->index];
	uint64_t ticks = (ns << 32) / clock->tsc_to_system_mul;

	return clock->tsc_shift < 0 ? ticks << -clock->tsc_shift : ticks >> clock->tsc_shift;
}
