/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef CT_CORE_H
#define CT_CORE_H

#include "../../include/asm/caretaker_abi.h"
#include "check.h"
#include "layout.h"
#include "../resident/resident.h"
#include "shadow.h"

struct regs {	/* of the host or a guest, but for RAX and RSP */
	u64 rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

struct table {	/* what LGDT and LIDT take, so placed that `base` is aligned */
	u16 pad[3];
	u16 limit;
	u64 base;
};

struct tss {
	u32 r0;
	u64 rsp[3];
	u64 r1;
	u64 ist[7];
	u64 r2;
	u16 r3;
	u16 iopb;
} __attribute__((packed));

struct cpu {
	u64 pa;
	u64 cr3;
	u64 cr4;
	struct table gdtr, idtr, out_gdtr, out_idtr;
	u64 out_hsave;
	u64 out_efer;
	u32 index;
	u32 apic_id;
	u32 state;		/* CARETAKER_CPU_*; other CPUs look at it */
	u32 ask;		/* ASK_*; other CPUs write it */
	u64 svme;		/* what the host believes EFER.SVME */
	u64 hsave;		/* and VM_HSAVE_PA to be */
	u64 away;		/* TSC ticks that the guest had of this exit */
	u64 counter[CARETAKER_NR_COUNTERS];
	struct shadow shadow[SHADOWS];
	u32 clock;
	u64 gdt[6];
	struct tss tss;
};

struct cpu_memory {
	struct vmcb host;
	u8 hsave[PAGE];
	struct vmcb root;
	struct vmcb guest;
	struct cpu data;
	u8 pad[PAGE - sizeof(struct cpu)];
	u8 ist[PAGE];
	u8 stack[2 * PAGE];
	u8 msrpm[2 * PAGE];
	struct resident vcpu;
	u8 vcpu_pad[PAGE - sizeof(struct resident)];
};

struct globals {
	struct caretaker_params p;
	struct limits limits;
	struct caretaker_window *window;	/* valid once we are below */
	struct cpu_memory *cpus;
	u64 msrpm_pa;
	u64 npt_pa;
	u64 iopm_pa;		/* all I/O */
	bool nrips;
	u64 idt[256][2];
};

extern struct globals g;

#define AT(field, at)	_Static_assert(__builtin_offsetof(struct cpu_memory, field) == (at), #field)
AT(host, CPU_HOST);
AT(hsave, CPU_HSAVE);
AT(root, CPU_ROOT);
AT(guest, CPU_GUEST);
AT(data, CPU_DATA);
AT(stack, CPU_IST_TOP);
AT(msrpm, CPU_MSRPM);
AT(data.pa, CPU_DATA + DATA_PA);
AT(data.cr3, CPU_DATA + DATA_CR3);
AT(data.cr4, CPU_DATA + DATA_CR4);
AT(data.gdtr, CPU_DATA + DATA_GDTR);
AT(data.idtr, CPU_DATA + DATA_IDTR);
AT(data.out_gdtr, CPU_DATA + DATA_OUT_GDTR);
AT(data.out_idtr, CPU_DATA + DATA_OUT_IDTR);
AT(data.out_hsave, CPU_DATA + DATA_OUT_HSAVE);
AT(data.out_efer, CPU_DATA + DATA_OUT_EFER);
AT(host.es, VMCB_ES);
AT(host.ss, VMCB_SS);
AT(host.ds, VMCB_DS);
AT(host.cr4, VMCB_CR4);
AT(host.cr3, VMCB_CR3);
AT(host.cr0, VMCB_CR0);
AT(host.dr7, VMCB_DR7);
AT(host.dr6, VMCB_DR6);
AT(host.rflags, VMCB_RFLAGS);
AT(host.rip, VMCB_RIP);
AT(host.rsp, VMCB_RSP);
AT(host.rax, VMCB_RAX);
AT(host.cr2, VMCB_CR2);
#undef AT
_Static_assert(sizeof(struct cpu_memory) == CPU_BYTES, "memory of a CPU");
_Static_assert(sizeof(struct regs) == FRAME_CPU, "frame");
_Static_assert(__builtin_offsetof(struct caretaker_image, build) == 32, "head of the image");

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

/* entry.S */
extern u8 image[], text_end[], image_end[], vectors[];
void run_guest(u64 vmcb_pa, struct regs *regs, u64 root_pa);
void halt(void) __attribute__((noreturn));

/* log.c */
void count(struct cpu *c, u32 which);
void at_most(struct cpu *c, u32 which, u64 value);
void set_state(struct cpu *c, u32 state);
void say(struct cpu *c, const char *what);
void say_value(const char *name, u64 value);
void say_end(void);
void stop(struct cpu_memory *m, const char *why) __attribute__((noreturn));

/* kvm_guest.c, msr.c, exit.c */
void run(struct cpu_memory *m, struct regs *r);
void msr_exit(struct cpu_memory *m, struct regs *r);
void inject(struct vmcb *host, u64 event);
void skip(struct vmcb *host, u32 bytes);

void *memcpy(void *to, const void *from, u64 n);
void *memset(void *to, int c, u64 n);

#endif
