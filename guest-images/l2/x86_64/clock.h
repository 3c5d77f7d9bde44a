/* SPDX-License-Identifier: Apache-2.0 */
/* What x86_64's own files want of its clock, over bare.h. */
#ifndef X86_64_CLOCK_H
#define X86_64_CLOCK_H

#include "../bare.h"

/* How far the TSC goes in so many nanoseconds; less than 4 seconds of them. */
uint64_t clock_ticks(const struct vcpu *vcpu, uint64_t ns);

#endif
