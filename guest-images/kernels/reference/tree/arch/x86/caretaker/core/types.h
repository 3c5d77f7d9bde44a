/* SPDX-License-Identifier: GPL-2.0-only */
/* What a C file of the caretaker may use: nothing that is not in this folder. */
#ifndef CT_TYPES_H
#define CT_TYPES_H

typedef __UINT8_TYPE__ u8;
typedef __UINT16_TYPE__ u16;
typedef __UINT32_TYPE__ u32;
typedef __UINT64_TYPE__ u64;
typedef _Bool bool;

#define true 1
#define false 0
#define NULL ((void *)0)

#define PAGE		4096ULL
#define MIB(n)		((u64)(n) << 20)
#define GIB(n)		((u64)(n) << 30)
#define BIT(n)		(1ULL << (n))

/* Do [a, a + n) and [b, b + m) share a byte? Neither may wrap. */
static inline bool overlap(u64 a, u64 n, u64 b, u64 m)
{
	return a < b + m && b < a + n;
}

#endif
