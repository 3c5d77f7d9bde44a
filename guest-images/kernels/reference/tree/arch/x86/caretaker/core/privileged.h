/* SPDX-License-Identifier: GPL-2.0-only */
/* Instructions of the processor. Userspace tests have others of the same names. */
#ifndef CT_PRIVILEGED_H
#define CT_PRIVILEGED_H

#include "types.h"

#define READ(reg) ({ u64 v_; asm volatile("mov %%" reg ", %0" : "=r"(v_)); v_; })

static inline u64 rdmsr(u32 no)
{
	u32 lo, hi;

	asm volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(no));
	return ((u64)hi << 32) | lo;
}

static inline void wrmsr(u32 no, u64 value)
{
	asm volatile("wrmsr" : : "c"(no), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline u64 rdtsc(void)
{
	u32 lo, hi;

	asm volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return ((u64)hi << 32) | lo;
}

static inline void cpuid(u32 leaf, u32 sub, u32 out[4])
{
	asm volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
		     : "a"(leaf), "c"(sub));
}

static inline u64 xgetbv(void)
{
	u32 lo, hi;

	asm volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
	return (u64)hi << 32 | lo;
}

static inline void xsetbv(u64 value)
{
	asm volatile("xsetbv" : : "c"(0), "a"((u32)value), "d"((u32)(value >> 32)));
}

static inline void xrstor(const u8 *image)
{
	asm volatile("xrstor64 %0" : : "m"(*(const u8 (*)[PAGE])image), "a"(-1), "d"(-1));
}

static inline void xsave(u8 *image, u64 parts)
{
	asm volatile("xsave64 %0" : "=m"(*(u8 (*)[PAGE])image)
		     : "a"((u32)parts), "d"((u32)(parts >> 32)) : "memory");
}

static inline void set_cr4(u64 value)
{
	asm volatile("mov %0, %%cr4" : : "r"(value));
}

static inline void wbinvd(void)
{
	asm volatile("wbinvd" : : : "memory");
}

static inline void mfence(void)
{
	asm volatile("mfence" : : : "memory");
}

static inline void stgi(void)
{
	asm volatile("stgi" : : : "memory");
}

#endif
