/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DOC: Bare metal
 *
 * The contract between the payloads (spinner.c, ticker.c), what they share (bare.c) and an architecture (a folder).
 * Another architecture adds a folder with an arch.mk and these functions, and nothing in the C files here changes.
 */
#ifndef BARE_H
#define BARE_H

#include "options.h"

#define BARE_MAX_VCPUS 16
#define BARE_STACK_SIZE 8192

struct vcpu {
	struct vcpu *self; /* first: an interrupt finds its vCPU through this */
	uint32_t index;
	uint32_t running; /* set by the vCPU itself, once it is in bare_run() */
	uint64_t period_ns;
	uint64_t fp_seed;
	int is_called; /* beats when the vCPU before it calls, and has no timer */
	const struct vcpu *calls; /* the vCPU that beats after this one; NULL if none waits for it */
	struct beacon beacon;
	struct ram ram;
	struct mutant mutant;
};

/* Provided by bare.c. */
void bare_main(const char *command_line) __attribute__((noreturn));
void bare_run(struct vcpu *vcpu) __attribute__((noreturn));
void bare_fail(const char *why) __attribute__((noreturn));
void bare_print(const char *text);
void bare_print_hex(uint64_t value);
void bare_beat(struct vcpu *vcpu, uint64_t now);
void bare_witness_ram(struct vcpu *vcpu);
void bare_chat(const struct vcpu *vcpu);
extern const uint8_t bss_end[]; /* the linker's: nothing of this image is behind it */
extern uint8_t bare_stack[BARE_MAX_VCPUS][BARE_STACK_SIZE];

/* RAM from `begin` to `end` (exclusive), as physical addresses, which are virtual ones. */
struct range {
	uint64_t begin, end;
};

/* Provided by the payload: beat, for ever. */
void payload_run(struct vcpu *vcpu) __attribute__((noreturn));

/* Provided by the architecture. */
void arch_put(char c);
void arch_halt(void) __attribute__((noreturn));
void arch_idle(void); /* sleep until an interrupt came and was handled */
uint64_t arch_entropy(void);
struct range arch_ram(void); /* the RAM that this image is in; empty if the machine does not say */
const char *clock_init(uint64_t tsc_khz); /* once, before any clock_start(); NULL or what is missing */
void clock_start(struct vcpu *vcpu);	  /* on each vCPU */
uint64_t clock_ns(const struct vcpu *vcpu);
void cpu_start(struct vcpu *vcpu);	       /* on each vCPU, after clock_start(): traps, interrupt controller */
int smp_boot(struct vcpu *vcpu, const struct vcpu *self); /* 0 if it did not come up */
void timer_start(struct vcpu *vcpu);	       /* on each vCPU: timer_tick() each period from now on */
void ipi_send(const struct vcpu *to);	       /* timer_tick() there */
void timer_tick(struct vcpu *vcpu);	       /* provided by the payload that called timer_start() */
void fp_arm(uint64_t seed);
int fp_intact(uint64_t seed);

#endif
