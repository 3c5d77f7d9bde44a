// SPDX-License-Identifier: GPL-2.0-only
/*
 * The local APIC of a resident vCPU, in x2APIC mode: its registers are a page as
 * KVM_GET_LAPIC has them. It serves what a vCPU with a deadline timer and siblings
 * needs; the rest parks the vCPU. Pure: runs in userspace tests.
 */
#include "../../include/asm/caretaker_abi.h"
#include "../core/msr.h"
#include "resident.h"

#define AT_ID		0x020
#define AT_VERSION	0x030
#define AT_TPR		0x080
#define AT_PPR		0x0a0
#define AT_EOI		0x0b0
#define AT_LDR		0x0d0
#define AT_SPIV		0x0f0
#define AT_ISR		0x100
#define AT_TMR		0x180
#define AT_IRR		0x200
#define AT_ESR		0x280
#define AT_CMCI		0x2f0
#define AT_ICR		0x300
#define AT_LVTT		0x320
#define AT_LVT_LAST	0x370
#define AT_TMICT	0x380
#define AT_TMCCT	0x390
#define AT_TDCR		0x3e0
#define AT_SELF		0x3f0

#define ENABLED		BIT(8)
#define LVT_MASKED	BIT(16)
#define LVT_MODE	(3u << 17)
#define LVT_ONESHOT	0
#define LVT_DEADLINE	(2u << 17)
#define ICR_MODE	0x700
#define ICR_LOGICAL	BIT(11)
#define SHORTHAND(v)	(((v) >> 18) & 3)

static u32 get(const u8 *apic, u32 at)
{
	return *(const u32 *)(apic + at);
}

static void set(u8 *apic, u32 at, u32 value)
{
	*(u32 *)(apic + at) = value;
}

/* 256 bits, in 8 registers: the highest that is set; 0, which is no interrupt's vector, if none. */
static u32 highest(const u8 *apic, u32 base)
{
	u32 i, bits;

	for (i = 8; i--;) {
		bits = get(apic, base + 16 * i);
		if (bits)
			return 32 * i + 31 - (u32)__builtin_clz(bits);
	}
	return 0;
}

static void put_bit(u8 *apic, u32 base, u32 vector, bool on)
{
	u32 at = base + 16 * (vector / 32), bit = 1u << (vector % 32);

	set(apic, at, on ? get(apic, at) | bit : get(apic, at) & ~bit);
}

/**
 * apic_tpr() - find the task priority
 * @apic: the APIC
 *
 * Return: TPR, 8 bits.
 */
u32 apic_tpr(const u8 *apic)
{
	return get(apic, AT_TPR);
}

/**
 * apic_pending() - find the interrupt that the vCPU would take now
 * @apic: the APIC
 *
 * Return: its vector, or 0.
 */
u32 apic_pending(const u8 *apic)
{
	u32 irr = highest(apic, AT_IRR), isr = highest(apic, AT_ISR), tpr = get(apic, AT_TPR);

	if (!(get(apic, AT_SPIV) & ENABLED))
		return 0;
	return (irr & 0xf0) > (isr & 0xf0) && (irr & 0xf0) > (tpr & 0xf0) ? irr : 0;
}

/**
 * apic_accept() - move an interrupt from pending to in service
 * @apic: the APIC
 * @vector: from apic_pending()
 */
void apic_accept(u8 *apic, u32 vector)
{
	put_bit(apic, AT_IRR, vector, false);
	put_bit(apic, AT_ISR, vector, true);
}

/**
 * apic_raise() - make an edge-triggered interrupt pending
 * @apic: the APIC
 * @vector: 16 to 255
 */
void apic_raise(u8 *apic, u32 vector)
{
	put_bit(apic, AT_IRR, vector, true);
	put_bit(apic, AT_TMR, vector, false);
}

/**
 * apic_merge() - make the interrupts pending that siblings have sent
 * @apic: the APIC
 * @posted: those; none afterwards
 */
void apic_merge(u8 *apic, u32 posted[8])
{
	u32 i, bits;

	for (i = 0; i < 8; i++) {
		bits = __atomic_exchange_n(&posted[i], 0, __ATOMIC_ACQ_REL);
		set(apic, AT_IRR + 16 * i, get(apic, AT_IRR + 16 * i) | bits);
		set(apic, AT_TMR + 16 * i, get(apic, AT_TMR + 16 * i) & ~bits);
	}
}

/**
 * apic_by_deadline() - is the timer in TSC-deadline mode?
 * @apic: the APIC
 *
 * Return: true if it is.
 */
bool apic_by_deadline(const u8 *apic)
{
	return (get(apic, AT_LVTT) & LVT_MODE) == LVT_DEADLINE;
}

/**
 * apic_timer_ok() - is the timer one that can be served?
 * @apic: the APIC, with TMCCT as it is now
 *
 * Return: false if it counts, and would interrupt: it is not emulated.
 */
bool apic_timer_ok(const u8 *apic)
{
	u32 lvt = get(apic, AT_LVTT);

	if ((lvt & LVT_MASKED) || apic_by_deadline(apic) || !get(apic, AT_TMICT))
		return true;
	return (lvt & LVT_MODE) == LVT_ONESHOT && !get(apic, AT_TMCCT);
}

/**
 * apic_timer() - make the timer's interrupt pending
 * @apic: the APIC
 *
 * Return: false if it is masked, or has no vector.
 */
bool apic_timer(u8 *apic)
{
	u32 lvt = get(apic, AT_LVTT);

	if ((lvt & LVT_MASKED) || (lvt & 0xff) < 16)
		return false;
	apic_raise(apic, lvt & 0xff);
	return true;
}

static enum apic_done eoi(u8 *apic)
{
	u32 isr = highest(apic, AT_ISR);

	if (!isr)
		return APIC_DONE;
	if (get(apic, AT_TMR + 16 * (isr / 32)) & 1u << (isr % 32))
		return APIC_PARK;	/* the IOAPIC has to see it */
	put_bit(apic, AT_ISR, isr, false);
	return APIC_DONE;
}

/**
 * ipi_ok() - is this a fixed interrupt?
 * @icr: what was written to the ICR
 *
 * Return: false for NMI, INIT, SIPI and the like, which KVM has to send.
 */
bool ipi_ok(u64 icr)
{
	return !(icr & ICR_MODE) && (icr & 0xff) >= 16;
}

/**
 * ipi_is_for() - does an IPI reach this APIC?
 * @apic: the APIC
 * @icr: what was written to the sender's ICR
 * @sender: whether it is the sender's
 *
 * In x2APIC mode a logical id is a cluster, and a bit in that cluster.
 *
 * Return: true if it does.
 */
bool ipi_is_for(const u8 *apic, u64 icr, bool sender)
{
	u32 to = icr >> 32, ldr = get(apic, AT_LDR);

	switch (SHORTHAND(icr)) {
	case 1:
		return sender;
	case 2:
		return true;
	case 3:
		return !sender;
	}
	if (to == ~0u)
		return true;
	if (icr & ICR_LOGICAL)
		return to >> 16 == ldr >> 16 && (to & ldr & 0xffff);
	return to == get(apic, AT_ID);
}

/* The interrupt in service or the task, whichever is higher. */
static u32 ppr(const u8 *apic)
{
	u32 isr = highest(apic, AT_ISR) & 0xf0, tpr = get(apic, AT_TPR);

	return (tpr & 0xf0) >= isr ? tpr : isr;
}

/* Registers that can be read; an access to any other is #GP. AMD64 manual, volume 2, 16.11. */
static bool readable(u32 at)
{
	switch (at) {
	case AT_ID:
	case AT_VERSION:
	case AT_TPR:
	case AT_PPR:
	case AT_LDR:
	case AT_SPIV:
	case AT_ISR ... AT_ESR:
	case AT_CMCI:
	case AT_ICR:
	case AT_LVTT ... AT_LVT_LAST:
	case AT_TMICT:
	case AT_TDCR:
		return true;
	default:
		return false;
	}
}

static bool plain(u32 at)
{
	return at == AT_SPIV || at == AT_CMCI || at == AT_TDCR ||
	       (at >= AT_LVTT && at <= AT_LVT_LAST);
}

/**
 * apic_read() - serve RDMSR of a register
 * @apic: the APIC
 * @msr: MSR_X2APIC to MSR_X2APIC_LAST
 * @value: what was read; not set unless APIC_DONE
 *
 * Return: see enum apic_done.
 */
enum apic_done apic_read(const u8 *apic, u32 msr, u64 *value)
{
	u32 at = (msr - MSR_X2APIC) << 4;

	if (at == AT_TMCCT)
		return APIC_PARK;
	if (!readable(at))
		return APIC_FAULT;
	*value = at == AT_PPR ? ppr(apic) : get(apic, at);
	if (at == AT_ICR)
		*value |= (u64)get(apic, at + 16) << 32;
	return APIC_DONE;
}

/**
 * apic_write() - serve WRMSR of a register
 * @apic: the APIC
 * @msr: MSR_X2APIC to MSR_X2APIC_LAST; of the ICR only the register: the caller sends
 * @value: what is written
 *
 * Return: see enum apic_done.
 */
enum apic_done apic_write(u8 *apic, u32 msr, u64 value)
{
	u32 at = (msr - MSR_X2APIC) << 4;

	if (at != AT_ICR && value >> 32)
		return APIC_FAULT;
	if (at == AT_EOI)
		return value ? APIC_FAULT : eoi(apic);
	if (at == AT_ICR) {
		set(apic, at, value);
		set(apic, at + 16, value >> 32);
		return APIC_DONE;
	}
	if (at == AT_SELF) {
		if (value < 16 || value > 255)
			return APIC_PARK;
		apic_raise(apic, value);
		return APIC_DONE;
	}
	if (at == AT_TPR) {
		if (value > 255)
			return APIC_FAULT;
		set(apic, at, value);
		return APIC_DONE;
	}
	if (at == AT_ESR || (at == AT_TMICT && !value)) {
		set(apic, at, 0);
		return value ? APIC_FAULT : APIC_DONE;
	}
	if (at == AT_LVTT && ((value & LVT_MODE) != LVT_DEADLINE && !(value & LVT_MASKED)))
		return APIC_PARK;	/* a timer that counts */
	if (!plain(at))
		return APIC_PARK;
	set(apic, at, value);
	return APIC_DONE;
}
