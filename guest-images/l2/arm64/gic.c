// SPDX-License-Identifier: Apache-2.0
/*
 * Traps, the GICv3, the virtual timer, which is its private interrupt 27, and IPIs, which are its interrupt 0.
 */
#include "clock.h"
#include "cpu.h"
#include "smc.h"

#define CALL_IRQ 0
#define TIMER_IRQ 27
#define SPURIOUS_FROM 1020

#define GICD_CTLR (GICD_BASE + 0x0)
#define GICD_ENABLE 0x12 /* affinity routing, group 1 */

#define GICR_STRIDE 0x20000
#define GICR_TYPER 0x8
#define GICR_WAKER 0x14
#define GICR_LAST (1u << 4)
#define WAKER_SLEEP (1u << 1)
#define WAKER_ASLEEP (1u << 2)
#define GICR_SGI 0x10000 /* the second frame of each redistributor */
#define GICR_IGROUPR0 0x80
#define GICR_ISENABLER0 0x100
#define GICR_IPRIORITYR 0x400

#define ICC_PMR "s3_0_c4_c6_0"
#define ICC_IAR1 "s3_0_c12_c12_0"
#define ICC_SGI1R "s3_0_c12_c11_5"
#define ICC_EOIR1 "s3_0_c12_c12_1"
#define ICC_SRE "s3_0_c12_c12_5"
#define ICC_IGRPEN1 "s3_0_c12_c12_7"

void trap_report(uint64_t vector, uint64_t syndrome, uint64_t pc, uint64_t address) __attribute__((noreturn));
void interrupt_taken(void);

static uint64_t deadline[BARE_MAX_VCPUS];

void trap_report(uint64_t vector, uint64_t syndrome, uint64_t pc, uint64_t address)
{
	bare_print("BEACON trap vector=0x");
	bare_print_hex(vector);
	bare_print(" esr=0x");
	bare_print_hex(syndrome);
	bare_print(" pc=0x");
	bare_print_hex(pc);
	bare_print(" far=0x");
	bare_print_hex(address);
	bare_print("\n");
	arch_halt();
}

void arch_halt(void)
{
	for (;;)
		asm volatile("msr daifset, #0xf; wfi");
}

/* WFI wakes for a masked interrupt too, so that none is lost in between. */
void arch_idle(void)
{
	asm volatile("wfi; msr daifclr, #2; isb; msr daifset, #2" : : : "memory");
}

/* Affinities 3, 2, 1, 0 of this vCPU, as a redistributor's TYPER has them. */
static uint32_t own_affinity(void)
{
	uint64_t mpidr = sysreg_read("mpidr_el1");

	return (uint32_t)(mpidr & 0xffffff) | (uint32_t)(mpidr >> 8 & 0xff000000);
}

static uintptr_t find_redistributor(void)
{
	uint32_t wanted = own_affinity();

	for (uintptr_t frame = GICR_BASE;; frame += GICR_STRIDE) {
		uint64_t what;

		device_page(frame);
		what = mmio_read64(frame + GICR_TYPER);
		if (what >> 32 == wanted)
			return frame;
		if (what & GICR_LAST)
			bare_fail("no redistributor of the GIC is this vCPU's");
	}
}

static void open_redistributor(uintptr_t frame)
{
	mmio_write(frame + GICR_WAKER, mmio_read(frame + GICR_WAKER) & ~WAKER_SLEEP);
	while (mmio_read(frame + GICR_WAKER) & WAKER_ASLEEP)
		;
	frame += GICR_SGI;
	device_page(frame);
	mmio_write(frame + GICR_IGROUPR0, 0xffffffff);
	mmio_write(frame + GICR_IPRIORITYR + (TIMER_IRQ & ~3), 0x80808080);
	mmio_write(frame + GICR_IPRIORITYR + (CALL_IRQ & ~3), 0x80808080);
	mmio_write(frame + GICR_ISENABLER0, 1u << TIMER_IRQ | 1u << CALL_IRQ);
}

/* The distributor is one for all, and each vCPU says the same to it. */
void cpu_start(struct vcpu *vcpu)
{
	sysreg_write("tpidr_el1", (uintptr_t)vcpu);
	sysreg_write("cntv_ctl_el0", 0);
	device_page(GICD_BASE);
	mmio_write(GICD_CTLR, GICD_ENABLE);
	open_redistributor(find_redistributor());
	sysreg_write(ICC_SRE, sysreg_read(ICC_SRE) | 1);
	isb();
	sysreg_write(ICC_PMR, 0xff);
	sysreg_write(ICC_IGRPEN1, 1);
	isb();
}

/* One period after the last, so that beats do not drift; a missed one is not made up for. */
static void set_deadline(struct vcpu *vcpu)
{
	uint64_t now = read_counter(), period = clock_ticks(vcpu->period_ns);
	uint64_t *at = &deadline[vcpu->index];

	*at += period;
	if (*at <= now || *at - now > period)
		*at = now + period;
	sysreg_write("cntv_cval_el0", *at);
	isb(); /* the line must have fallen before the end of the interrupt is told */
}

void interrupt_taken(void)
{
	uint64_t irq = sysreg_read(ICC_IAR1) & 0xffffff;
	struct vcpu *vcpu = (struct vcpu *)(uintptr_t)sysreg_read("tpidr_el1");

	if (irq >= SPURIOUS_FROM)
		return;
	if (irq == TIMER_IRQ) {
		set_deadline(vcpu);
		timer_tick(vcpu);
	} else if (irq == CALL_IRQ) {
		timer_tick(vcpu);
	}
	sysreg_write(ICC_EOIR1, irq);
	isb();
}

/* The first cluster's vCPU of that affinity, which is the vCPU's number on the machines the lab makes. */
void ipi_send(const struct vcpu *to)
{
	sysreg_write(ICC_SGI1R, (uint64_t)CALL_IRQ << 24 | 1u << to->index);
	isb();
}

void timer_start(struct vcpu *vcpu)
{
	set_deadline(vcpu);
	sysreg_write("cntv_ctl_el0", 1);
	isb();
}
