/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to whoever is above, by HVC: PSCI, and KVM's own for protected guests (Documentation/virt/kvm/arm/
 * hypercalls.rst). A function that is not there answers -1.
 */
#ifndef ARM64_SMC_H
#define ARM64_SMC_H

#include <stdint.h>

#define PSCI_CPU_ON 0xc4000003
#define KVM_FEATURES 0x86000000
#define KVM_UID 0x8600ff01
#define KVM_MMIO_GUARD 0xc6000007
#define KVM_HAS_MMIO_GUARD (1u << 7)

struct smc_result {
	uint64_t r[4];
};

static inline struct smc_result smc_call(uint64_t function, uint64_t a, uint64_t b, uint64_t c)
{
	register uint64_t x0 asm("x0") = function;
	register uint64_t x1 asm("x1") = a;
	register uint64_t x2 asm("x2") = b;
	register uint64_t x3 asm("x3") = c;

	asm volatile("hvc #0"
		     : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)
		     :
		     : "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15", "x16", "x17",
		       "memory");
	return (struct smc_result){ { x0, x1, x2, x3 } };
}

/* In a protected guest of a hypervisor with an MMIO guard: say that this page is a device's. Else nothing. */
void device_page(uintptr_t at);

#endif
