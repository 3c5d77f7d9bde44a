// SPDX-License-Identifier: Apache-2.0
/*
 * The local APIC, its timer, and the table of traps and interrupts. x2APIC where there is one, for its registers are
 * MSRs, which KVM handles in the kernel, and need no instruction decoder; TSC-deadline where there is one, for it
 * needs no calibration.
 */
#include "apic.h"
#include "clock.h"
#include "cpu.h"

#define APIC_ENABLE (1u << 11)
#define APIC_EXTENDED (1u << 10)

#define APIC_EOI 0x0b0
#define APIC_SPURIOUS 0x0f0
#define APIC_COMMAND 0x300
#define APIC_COMMAND_TO 0x310
#define APIC_TIMER 0x320
#define APIC_LINT0 0x350
#define APIC_INITIAL 0x380
#define APIC_CURRENT 0x390
#define APIC_DIVIDE 0x3e0

#define APIC_MASKED (1u << 16)
#define TIMER_PERIODIC (1u << 17)
#define TIMER_DEADLINE (2u << 17)
#define DIVIDE_BY_16 3
#define CALIBRATION_NS 50000000ull

struct gate {
	uint16_t low;
	uint16_t segment;
	uint16_t kind;
	uint16_t middle;
	uint32_t high;
	uint32_t reserved_0x0c;
};

/* What the interrupt handler is given by the processor. */
struct interrupt_frame {
	uint64_t rip, cs, rflags, rsp, ss;
};

/* What trap.S made. */
struct trap_frame {
	uint64_t vector, error;
	struct interrupt_frame at;
};

extern const uint8_t trap_entries[32][16];
void trap_report(const struct trap_frame *frame) __attribute__((noreturn));

static struct gate idt[256] __attribute__((aligned(16)));
static int x2apic;
static int has_deadline;
static uint64_t deadline[BARE_MAX_VCPUS];

static void apic_write(uint32_t at, uint32_t value)
{
	if (x2apic)
		wrmsr(MSR_X2APIC + (at >> 4), value);
	else
		*(volatile uint32_t *)(uintptr_t)(0xfee00000 + at) = value;
}

static uint32_t apic_read(uint32_t at)
{
	return x2apic ? (uint32_t)rdmsr(MSR_X2APIC + (at >> 4)) : *(volatile uint32_t *)(uintptr_t)(0xfee00000 + at);
}

void apic_send(uint32_t apic_id, uint32_t command)
{
	if (x2apic) {
		wrmsr(MSR_X2APIC + (APIC_COMMAND >> 4), (uint64_t)apic_id << 32 | command);
	} else {
		apic_write(APIC_COMMAND_TO, apic_id << 24);
		apic_write(APIC_COMMAND, command);
	}
}

void trap_report(const struct trap_frame *frame)
{
	bare_print("BEACON trap vector=0x");
	bare_print_hex(frame->vector);
	bare_print(" error=0x");
	bare_print_hex(frame->error);
	bare_print(" rip=0x");
	bare_print_hex(frame->at.rip);
	bare_print("\n");
	arch_halt();
}

void arch_halt(void)
{
	for (;;)
		asm volatile("cli; hlt");
}

/* STI takes effect after HLT has begun, so that no interrupt is lost in between. */
void arch_idle(void)
{
	asm volatile("sti; hlt; cli" : : : "memory");
}

/* One period after the last, so that beats do not drift; a missed one is not made up for. */
static void set_deadline(struct vcpu *vcpu)
{
	uint64_t now = rdtsc(), period = clock_ticks(vcpu, vcpu->period_ns);
	uint64_t *at = &deadline[vcpu->index];

	*at += period;
	if (*at <= now || *at - now > period)
		*at = now + period;
	wrmsr(MSR_TSC_DEADLINE, *at);
}

static struct vcpu *this_vcpu(void)
{
	struct vcpu *vcpu;

	asm("mov %%gs:0, %0" : "=r"(vcpu));
	return vcpu;
}

__attribute__((interrupt)) static void timer_interrupt(struct interrupt_frame *frame)
{
	struct vcpu *vcpu = this_vcpu();

	(void)frame;
	if (has_deadline)
		set_deadline(vcpu);
	timer_tick(vcpu);
	apic_write(APIC_EOI, 0);
}

void ipi_send(const struct vcpu *to)
{
	apic_send(to->index, APIC_FIXED | VECTOR_CALL);
}

__attribute__((interrupt)) static void call_interrupt(struct interrupt_frame *frame)
{
	(void)frame;
	timer_tick(this_vcpu());
	apic_write(APIC_EOI, 0);
}

__attribute__((interrupt)) static void spurious_interrupt(struct interrupt_frame *frame)
{
	(void)frame;
}

static void set_gate(uint8_t vector, const void *handler)
{
	uint64_t to = (uintptr_t)handler;

	idt[vector] = (struct gate){ (uint16_t)to, SEGMENT_CODE64, 0x8e00, (uint16_t)(to >> 16),
				     (uint32_t)(to >> 32), 0 };
}

/* The same table, filled in with the same values by each vCPU. */
static void load_idt(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) pointer = { sizeof(idt) - 1, (uintptr_t)idt };

	for (uint8_t vector = 0; vector < 32; vector++)
		set_gate(vector, trap_entries[vector]);
	set_gate(VECTOR_TIMER, timer_interrupt);
	set_gate(VECTOR_CALL, call_interrupt);
	set_gate(VECTOR_SPURIOUS, spurious_interrupt);
	asm volatile("lidt %0" : : "m"(pointer), "m"(idt));
}

/* LINT0 masked: what firmware left running behind the old interrupt controller would come in through it. */
void cpu_start(struct vcpu *vcpu)
{
	uint32_t features = cpuid(1).ecx;
	uint64_t base = rdmsr(MSR_APIC_BASE) | APIC_ENABLE;

	wrmsr(MSR_GS_BASE, (uintptr_t)vcpu);
	load_idt();
	has_deadline = !!(features & 1u << 24);
	x2apic = !!(features & 1u << 21);
	wrmsr(MSR_APIC_BASE, base);
	if (x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_EXTENDED);
	apic_write(APIC_SPURIOUS, 0x100 | VECTOR_SPURIOUS);
	apic_write(APIC_LINT0, APIC_MASKED);
	apic_write(APIC_TIMER, APIC_MASKED);
}

/* How far the APIC's counter goes in a period, by our clock. */
static uint32_t measure_period(const struct vcpu *vcpu)
{
	uint64_t start = clock_ns(vcpu), now;
	uint64_t passed;

	apic_write(APIC_INITIAL, 0xffffffff);
	do
		now = clock_ns(vcpu);
	while (now - start < CALIBRATION_NS);
	passed = 0xffffffff - apic_read(APIC_CURRENT);
	return (uint32_t)(passed * (vcpu->period_ns / 1000) / ((now - start) / 1000));
}

void timer_start(struct vcpu *vcpu)
{
	uint32_t count;

	if (has_deadline) {
		apic_write(APIC_TIMER, TIMER_DEADLINE | VECTOR_TIMER);
		/* The switch of modes must be over before the deadline is set (SDM, TSC-Deadline Mode). */
		asm volatile("mfence" : : : "memory");
		set_deadline(vcpu);
		return;
	}
	apic_write(APIC_DIVIDE, DIVIDE_BY_16);
	count = measure_period(vcpu);
	apic_write(APIC_TIMER, TIMER_PERIODIC | VECTOR_TIMER);
	apic_write(APIC_INITIAL, count ? count : 1);
}
