/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int fp_sleep_until(uint64_t seed, const struct timespec *when)
 *
 * The system call is made between the two halves of the check with no C in between, so that the pattern is in the
 * registers while this thread sleeps. 1: it was still there. D8 to D15 are the caller's, and are kept.
 */
#define NR_CLOCK_NANOSLEEP 115
#define CLOCK_MONOTONIC 1
#define TIMER_ABSTIME 1

	.arch armv8-a+fp+simd
	.text
	.globl fp_sleep_until
fp_sleep_until:
	stp x29, x30, [sp, #-96]!
	mov x29, sp
	stp x0, x1, [sp, #16]
	stp d8, d9, [sp, #32]
	stp d10, d11, [sp, #48]
	stp d12, d13, [sp, #64]
	stp d14, d15, [sp, #80]
	bl fp_arm
	mov x8, #NR_CLOCK_NANOSLEEP
	mov x0, #CLOCK_MONOTONIC
	mov x1, #TIMER_ABSTIME
	ldr x2, [sp, #24]
	mov x3, #0
	svc #0			/* a signal may end it early: then the beat is early, which harms nobody */
	ldr x0, [sp, #16]
	bl fp_intact
	ldp d8, d9, [sp, #32]
	ldp d10, d11, [sp, #48]
	ldp d12, d13, [sp, #64]
	ldp d14, d15, [sp, #80]
	ldp x29, x30, [sp], #96
	ret

	.section .note.GNU-stack, "", @progbits
