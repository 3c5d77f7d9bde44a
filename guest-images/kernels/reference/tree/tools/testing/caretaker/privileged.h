/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * In place of the caretaker's header of that name, by gcc -include: instructions that
 * userspace cannot execute only leave a note of themselves.
 */
#ifndef CT_PRIVILEGED_H
#define CT_PRIVILEGED_H

#include "types.h"

extern u64 fake_msr[0x900];	/* those up to the x2APIC's; others are not noted */
extern u64 fake_tsc_ratio, fake_tsc, fake_xcr0;
void fake_kicked(u64 icr);

#define READ(reg) 0ULL

static inline u64 rdmsr(u32 no)
{
	return no < 0x900 ? fake_msr[no] : 0;
}

static inline void wrmsr(u32 no, u64 value)
{
	if (no < 0x900)
		fake_msr[no] = value;
	if (no == 0xc0000104)
		fake_tsc_ratio = value;
	if (no == 0x830)
		fake_kicked(value);
}

static inline u64 rdtsc(void)
{
	return fake_tsc;
}

static inline u64 xgetbv(void)
{
	return fake_xcr0;
}

static inline void xsetbv(u64 value) {}
static inline void xrstor(const u8 *image) {}
static inline void xsave(u8 *image, u64 parts) {}
static inline void set_cr4(u64 value) {}
static inline void mfence(void) {}
static inline void stgi(void) {}

#endif
