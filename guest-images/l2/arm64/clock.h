/* SPDX-License-Identifier: Apache-2.0 */
/* What arm64's own files want of its clock, over bare.h. */
#ifndef ARM64_CLOCK_H
#define ARM64_CLOCK_H

#include "../bare.h"

/* How far the counter goes in so many nanoseconds; less than 4 seconds of them. */
uint64_t clock_ticks(uint64_t ns);

#endif
