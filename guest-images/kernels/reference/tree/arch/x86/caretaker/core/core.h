/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Shared by the files of core/, and the interface that resident/ registers with.
 * `host_` is state of the Linux above, `ct_` the caretaker's own.
 */
#ifndef CT_CORE_H
#define CT_CORE_H

#include "../../include/asm/caretaker_abi.h"
#include "check.h"
#include "layout.h"
#include "lock.h"
#include "msr.h"
#include "privileged.h"
#include "shadow.h"

struct regs {	/* general registers of the host or a guest, but RAX and RSP */
	u64 rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
};

struct table {	/* what LGDT and LIDT take, placed so that `base` is aligned */
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

/**
 * DOC: State of a CPU
 *
 * Each CPU has a struct cpu_memory in private memory. With GIF 0 nothing
 * interrupts its code, so what only that CPU touches needs no lock ("itself").
 *
 * ======================  ==================================  ====================
 * field                   written by                          under
 * ======================  ==================================  ====================
 * host                    capture(), host_exit() and what it  itself
 *                         calls; VMRUN of the host
 * guest, msrpm            kvm_guest.c, resident.c             itself
 * ct_state, ist, stack,   make_cpu(), make_tables()           init(): Linux calls
 * data.pa, ct_*, index,                                       it before any CPU
 * gdt, tss                                                    enters
 * data.host_*             capture(), msr.c, release.c         itself
 * data.apic_id            capture()                           itself, before
 *                                                             state is IN
 * data.state              set_state():
 *   OUT, HALTED to IN     capture()                           itself
 *   IN to OUT             release.c                           itself, leave_lock
 *   IN to HELD            resident_hold()                     itself
 *   HELD to PARKED        resident_hold()                     itself
 *   PARKED to LEAVING     resident_fetch() on another CPU     posts_lock
 *   LEAVING to HALTED     leave()                             itself
 *   any to DEAD           stop(), root_trap()                 itself
 * data.ask                ask() on another CPU: STOP while    posts_lock
 *                         the CPU is HELD, LEAVE with the
 *                         change to LEAVING
 *                         leave(): NOTHING                    itself, LEAVING
 * data.released           capture(), release.c                itself
 * data.away, counter,     log.c, kvm_guest.c                  itself
 * clock, shadow
 * resident: posted        post_ipi() on a sibling             posts_lock; taken by
 *                                                             an atomic exchange
 * resident: the rest      resident.c, exits.c                 itself until PARKED;
 *                                                             the APIC is merged in
 *                                                             PARKED under
 *                                                             posts_lock
 * ======================  ==================================  ====================
 *
 * Other CPUs read state, apic_id, and of a CPU that is HELD or PARKED the guest's
 * and the APIC's ids of its vCPU. post_ipi() and ask() assert posts_lock; say_value()
 * and say_end() assert log_lock.
 */

/**
 * struct cpu - what the caretaker knows of a CPU
 * @pa: physical address of its struct cpu_memory
 * @ct_cr3: the caretaker's
 * @ct_cr4: the caretaker's
 * @ct_gdtr: the caretaker's
 * @ct_idtr: the caretaker's
 * @host_gdtr: what is loaded at release
 * @host_idtr: what is loaded at release
 * @host_hsave_pa: what the host believes VM_HSAVE_PA to be; loaded at release
 * @host_efer: what is loaded at release
 * @index: number of the CPU
 * @apic_id: its x2APIC id
 * @state: CARETAKER_CPU_*
 * @ask: ASK_*, from another CPU
 * @host_svme: what the host believes EFER.SVME to be
 * @released: the host resumes outside
 * @away: TSC ticks that a guest had of the current exit
 * @counter: CARETAKER_C_*
 * @shadow: nested tables of guests
 * @clock: uses of them
 * @gdt: global descriptor table
 * @tss: task state
 */
struct cpu {
	u64 pa;
	u64 ct_cr3;
	u64 ct_cr4;
	struct table ct_gdtr, ct_idtr, host_gdtr, host_idtr;
	u64 host_hsave_pa;
	u64 host_efer;
	u32 index;
	u32 apic_id;
	u32 state;
	u32 ask;
	u64 host_svme;
	bool released;
	u64 away;
	u64 counter[CARETAKER_NR_COUNTERS];
	struct shadow shadow[SHADOWS];
	u32 clock;
	u64 gdt[6];
	struct tss tss;
};

/**
 * struct cpu_memory - private memory of a CPU
 * @host: VMCB of the host
 * @hsave: where VMRUN of the host saves the caretaker's state
 * @ct_state: FS, GS, TR and so on of the caretaker, for VMLOAD
 * @guest: private copy of a guest's VMCB
 * @data: see struct cpu
 * @ist: stack of NMI, #DF and #MC
 * @stack: stack
 * @msrpm: MSR permission map of a guest
 * @resident: of resident/; core does not look at it
 */
struct cpu_memory {
	struct vmcb host;
	u8 hsave[PAGE];
	struct vmcb ct_state;
	struct vmcb guest;
	struct cpu data;
	/* private: */
	u8 pad[PAGE - sizeof(struct cpu)];
	/* public: */
	u8 ist[PAGE];
	u8 stack[2 * PAGE];
	u8 msrpm[2 * PAGE];
	u8 resident[PAGE];
};

/**
 * typedef hypercall_t - serve a hypercall
 * @m: memory of this CPU
 * @regs: the host's registers; what is not an answer is left as it is
 * @page: address of the page that was named, which nobody has checked; else 0
 *
 * A refusal is counted by the handler, with refuse().
 *
 * Return: what becomes the host's RAX: 0, or a negative CARETAKER_E*.
 */
typedef long (*hypercall_t)(struct cpu_memory *m, struct regs *regs, u64 page);

#define NR_HYPERCALLS	(CARETAKER_HC_FETCH + 1)

struct hypercall {
	hypercall_t serve;
	bool takes_page;
};

struct globals {
	struct caretaker_params p;
	struct limits limits;
	struct caretaker_window *host_window;	/* Linux reads it; mapped once we are below */
	struct cpu_memory *cpus;
	u64 msrpm_pa;		/* of the host */
	u64 npt_pa;		/* of the host */
	u64 iopm_pa;		/* of residents: intercepts all I/O */
	bool nrips;
	u64 host_misc_ctl;	/* in the host's VMCB */
	u64 encryption_bit;	/* in an entry of a page table, or 0 */
	bool snp;		/* the processor has SEV-SNP */
	struct hypercall hypercall[NR_HYPERCALLS];
	u64 idt[256][2];
};

extern struct globals g;

/*
 * Have init() call a function, which registers what its file has. The image is
 * not relocated, so what is stored is a distance.
 */
#define CT_INIT(fn)							\
	asm(".pushsection .ct_init, \"a\"\n\t"				\
	    ".balign 4\n\t.long " #fn " - .\n\t.popsection")

#define AT(field, at)	_Static_assert(__builtin_offsetof(struct cpu_memory, field) == (at), #field)
AT(host, CPU_HOST);
AT(hsave, CPU_HSAVE);
AT(ct_state, CPU_CT_STATE);
AT(guest, CPU_GUEST);
AT(data, CPU_DATA);
AT(stack, CPU_IST_TOP);
AT(msrpm, CPU_MSRPM);
AT(data.pa, CPU_DATA + DATA_PA);
AT(data.ct_cr3, CPU_DATA + DATA_CT_CR3);
AT(data.ct_cr4, CPU_DATA + DATA_CT_CR4);
AT(data.ct_gdtr, CPU_DATA + DATA_CT_GDTR);
AT(data.ct_idtr, CPU_DATA + DATA_CT_IDTR);
AT(data.host_gdtr, CPU_DATA + DATA_HOST_GDTR);
AT(data.host_idtr, CPU_DATA + DATA_HOST_IDTR);
AT(data.host_hsave_pa, CPU_DATA + DATA_HOST_HSAVE);
AT(data.host_efer, CPU_DATA + DATA_HOST_EFER);
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

/* Is a CPU of this state native? Then an INIT may reach it, and it may enter. */
static inline bool is_native(u32 state)
{
	return state == CARETAKER_CPU_OUT || state == CARETAKER_CPU_HALTED;
}

/* Levels of the page table of a CPU in long mode. */
static inline u32 paging_levels(u64 cr4)
{
	return cr4 & CR4_LA57 ? 5 : 4;
}

/* entry.S */
extern u8 image[], text_end[], image_end[], vectors[];
extern const int ct_init_start[], ct_init_end[];	/* core.lds: see CT_INIT() */
void run_guest(u64 vmcb_pa, struct regs *regs, u64 ct_state_pa);
void halt(void) __attribute__((noreturn));
bool try_rdmsr(u32 no, u64 *value);
bool try_wrmsr(u32 no, u64 value);

/* init.c */
void hypercall_register(u32 number, hypercall_t serve, bool takes_page);
void set_gate(u32 vector, const void *stub, u32 ist);

/* log.c */
void count(struct cpu *c, u32 which);
void at_most(struct cpu *c, u32 which, u64 value);
long refuse(struct cpu *c, u32 which, long error);
void set_state(struct cpu *c, u32 state);
void say(struct cpu *c, const char *what);
void say_value(struct cpu *c, const char *name, u64 value);
void say_end(struct cpu *c);
void stop(struct cpu_memory *m, const char *why) __attribute__((noreturn));
void assert_held(struct cpu *c, const struct spinlock *l);

/* msr.c */
void msr_exit(struct cpu_memory *m, struct regs *regs);

/* insn.c */
void skip(struct vmcb *v, u32 bytes);
void inject(struct vmcb *v, u64 event);
void *memcpy(void *to, const void *from, u64 n);
void *memset(void *to, int c, u64 n);

#endif
