/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processor's instructions and the numbers that go with them; included by C and, up to the guard, by assembly.
 */
#ifndef X86_64_CPU_H
#define X86_64_CPU_H

#define SEGMENT_CODE64 0x08
#define SEGMENT_DATA 0x10
#define SEGMENT_CODE32 0x18

#define MSR_APIC_BASE 0x1b
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define MSR_EFER 0xc0000080
#define MSR_GS_BASE 0xc0000101
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01

/* The page below 1 MiB where an application processor begins, in real mode. The SIPI vector is its number. */
#define TRAMPOLINE 0x8000
#define TRAMPOLINE_PAGE (TRAMPOLINE >> 12)

#define VECTOR_TIMER 0x40
#define VECTOR_CALL 0x41
#define VECTOR_SPURIOUS 0xff

#ifndef __ASSEMBLER__

#include <stdint.h>

struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid cpuid(uint32_t leaf)
{
	struct cpuid r;

	asm volatile("cpuid" : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx) : "a"(leaf), "c"(0));
	return r;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (uint64_t)high << 32 | low;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

/* LFENCE keeps the reading from being taken before what precedes it. */
static inline uint64_t rdtsc(void)
{
	uint32_t low, high;

	asm volatile("lfence; rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return (uint64_t)high << 32 | low;
}

static inline void outb(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

#endif
#endif
