/* SPDX-License-Identifier: Apache-2.0 */
/*
 * int fp_sleep_until(uint64_t seed, const struct timespec *when)
 *
 * The system call is made between the two halves of the check with no C in between, so that the pattern is in the
 * registers while this thread sleeps. 1: it was still there. All XMM registers are the caller's to lose.
 */
#define NR_CLOCK_NANOSLEEP 230
#define CLOCK_MONOTONIC 1
#define TIMER_ABSTIME 1

	.text
	.globl fp_sleep_until
fp_sleep_until:
	push %rdi
	push %rsi
	sub $8, %rsp
	call fp_arm
	mov $NR_CLOCK_NANOSLEEP, %eax
	mov $CLOCK_MONOTONIC, %edi
	mov $TIMER_ABSTIME, %esi
	mov 8(%rsp), %rdx
	xor %r10d, %r10d
	syscall			/* a signal may end it early: then the beat is early, which harms nobody */
	mov 16(%rsp), %rdi
	call fp_intact
	cmpb $2, fp_width(%rip)
	jne 1f
	vzeroupper		/* or SSE code is slow after it */
1:	add $24, %rsp
	ret

	.section .note.GNU-stack, "", @progbits
