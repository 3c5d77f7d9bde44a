/* SPDX-License-Identifier: GPL-2.0-only */
/* The VMCB as AMD's manual, volume 2, appendix B has it. Offsets are asserted. */
#ifndef CT_VMCB_H
#define CT_VMCB_H

#include "types.h"

struct seg {
	u16 selector;
	u16 attrib;
	u32 limit;
	u64 base;
};

struct vmcb {
	/* control area */
	u32 intercept[6];
	u32 r0[9];
	u32 pause_filter;	/* threshold and count */
	u64 iopm_pa;
	u64 msrpm_pa;
	u64 tsc_offset;
	u32 asid;
	u32 tlb_ctl;		/* byte 0; byte 1 is ERAP_CONTROL */
	u32 int_ctl;
	u32 int_vector;
	u64 int_state;
	u64 exit_code;
	u64 exit_info_1;
	u64 exit_info_2;
	u64 exit_int_info;
	u64 misc_ctl;
	u64 avic_bar;
	u64 ghcb_pa;
	u64 event_inj;
	u64 nested_cr3;
	u64 misc_ctl2;
	u64 clean;
	u64 next_rip;
	u8 insn[16];
	u64 avic_backing;
	u64 r1;
	u64 avic_logical;
	u64 avic_physical;
	u64 r2;
	u64 vmsa_pa;
	u8 r3[0x400 - 0x110];
	/* save area */
	struct seg es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 r4[0x4cb - 0x4a0];
	u8 cpl;
	u32 r5;
	u64 efer;
	u8 r6[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 r7[0x5d8 - 0x580];
	u64 rsp;
	u64 s_cet, ssp, isst;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 r8[0x668 - 0x648];
	u64 g_pat;
	u8 r9[0x1000 - 0x670];
};

#define VMCB_CONTROL_BYTES	0x140	/* of the control area that hold anything, */
#define VMCB_SAVE_AT		0x400
#define VMCB_SAVE_BYTES		0x300	/* and of the save area */

/* Words 3 and 4 of the intercepts; KVM's guests must have the first line. */
#define I3_INTR		BIT(0)
#define I3_NMI		BIT(1)
#define I3_INVD		BIT(22)
#define I3_INVLPGA	BIT(26)
#define I3_MSR		BIT(28)
#define I3_SHUTDOWN	BIT(31)
#define I4_VMRUN	BIT(0)
#define I4_VMMCALL	BIT(1)
#define I4_VMLOAD	BIT(2)
#define I4_VMSAVE	BIT(3)
#define I4_STGI		BIT(4)
#define I4_CLGI		BIT(5)
#define I4_SKINIT	BIT(6)

/* Exceptions whose delivery can loop for ever in the processor, or that are the host's. */
#define I2_DB		BIT(1)
#define I2_AC		BIT(17)
#define I2_MC		BIT(18)

#define INT_V_TPR	0xffULL
#define INT_V_IRQ	BIT(8)
#define INT_V_GIF	BIT(9)
#define INT_V_NMI	(BIT(11) | BIT(12))	/* pending, blocked */
#define INT_V_PRIO	(15ULL << 16)
#define INT_V_IGN_TPR	BIT(20)
#define INT_V_MASKING	BIT(24)
#define INT_V_GIF_ON	BIT(25)
#define INT_V_NMI_ON	BIT(26)
#define INT_STATE	3ULL		/* interrupt shadow, guest interrupt mask */
#define MISC_NP		BIT(0)
#define MISC_INVLPGB	BIT(7)		/* and TLBSYNC: else both are #UD */
#define MISC2_V_LBR	BIT(0)
#define MISC2_V_LOADSAVE	BIT(1)
#define TLB_NOTHING	0
#define TLB_FLUSH_ALL	1
#define TLB_FLUSH_ASID	3
#define TLB_FLUSH_ASID_LOCAL	7
#define ERAP_CTL	0x300		/* larger RAP, clear RAP */
#define EVENT_TYPE(e)	((e) >> 8 & 7)
#define EVENT_RESERVED	0x7ffff000ULL
#define EVENT_DB	0x80000301ULL
#define EVENT_AC	0x80000b11ULL
#define EVENT_UD	0x80000306ULL
#define EVENT_DF	0x80000b08ULL
#define EVENT_GP	0x80000b0dULL
#define EVENT_VALID	BIT(31)

#define EXIT_DB		0x41
#define EXIT_AC		0x51
#define EXIT_INTR	0x60
#define EXIT_NMI	0x61
#define EXIT_INVD	0x76
#define EXIT_INVLPGA	0x7a
#define EXIT_MSR	0x7c
#define EXIT_SHUTDOWN	0x7f
#define EXIT_VMRUN	0x80
#define EXIT_VMMCALL	0x81
#define EXIT_VMLOAD	0x82
#define EXIT_VMSAVE	0x83
#define EXIT_STGI	0x84
#define EXIT_CLGI	0x85
#define EXIT_SKINIT	0x86
#define EXIT_NPF	0x400
#define EXIT_INVALID	(~0ULL)

#define EFER_SCE	BIT(0)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define EFER_NXE	BIT(11)
#define EFER_SVME	BIT(12)
#define EFER_FFXSR	BIT(14)
#define EFER_TCE	BIT(15)
#define EFER_MCOMMIT	BIT(17)
#define EFER_INTWB	BIT(18)
#define EFER_UAIE	BIT(20)
#define EFER_AIBRSE	BIT(21)

/* Features of SVM: CPUID Fn8000_000A_EDX. */
#define SVM_NP		BIT(0)
#define SVM_LBRV	BIT(1)
#define SVM_NRIPS	BIT(3)
#define SVM_TSC_RATE	BIT(4)
#define SVM_FLUSH_ASID	BIT(6)
#define SVM_VLS		BIT(15)		/* VMLOAD and VMSAVE of a guest's own */
#define SVM_VGIF	BIT(16)
#define SVM_TLBICTL	BIT(24)		/* has MISC_INVLPGB */
#define SVM_VNMI	BIT(25)

#define FN8_INVLPGB	BIT(3)		/* CPUID Fn8000_0008_EBX */
#define FN1F_SNP	BIT(4)		/* CPUID Fn8000_001F_EAX */

#define AT(field, at)	_Static_assert(__builtin_offsetof(struct vmcb, field) == (at), #field)
AT(pause_filter, 0x3c);
AT(iopm_pa, 0x40);
AT(msrpm_pa, 0x48);
AT(asid, 0x58);
AT(tlb_ctl, 0x5c);
AT(int_ctl, 0x60);
AT(int_state, 0x68);
AT(exit_code, 0x70);
AT(exit_int_info, 0x88);
AT(misc_ctl, 0x90);
AT(event_inj, 0xa8);
AT(nested_cr3, 0xb0);
AT(clean, 0xc0);
AT(next_rip, 0xc8);
AT(avic_physical, 0xf8);
AT(vmsa_pa, 0x108);
AT(es, 0x400);
AT(tr, 0x490);
AT(cpl, 0x4cb);
AT(efer, 0x4d0);
AT(cr4, 0x548);
AT(rip, 0x578);
AT(rsp, 0x5d8);
AT(rax, 0x5f8);
AT(cr2, 0x640);
AT(g_pat, 0x668);
#undef AT
_Static_assert(sizeof(struct vmcb) == PAGE, "a VMCB is a page");

#endif
