// SPDX-License-Identifier: GPL-2.0-only
/*
 * A vCPU as KVM's uapi has it, which is what is preserved and adopted, and as the
 * processor has it, which is what the caretaker runs.
 */
#include <linux/errno.h>
#include <linux/string.h>
#include <asm/apic.h>
#include <asm/msr-index.h>
#include <asm/svm.h>

#include "record.h"

#define ATTR(field, shift)	(((s->field) & 1) << (shift))

static struct vmcb_seg seg_of(const struct kvm_segment *s)
{
	struct vmcb_seg to = { .selector = s->selector, .limit = s->limit, .base = s->base };

	if (s->present && !s->unusable)
		to.attrib = (s->type & 15) | ATTR(s, 4) | (s->dpl & 3) << 5 | BIT(7) |
			    ATTR(avl, 8) | ATTR(l, 9) | ATTR(db, 10) | ATTR(g, 11);
	return to;
}

static struct kvm_segment segment_of(const struct vmcb_seg *s)
{
	return (struct kvm_segment){
		.base = s->base, .limit = s->limit, .selector = s->selector,
		.type = s->attrib & 15, .s = s->attrib >> 4 & 1, .dpl = s->attrib >> 5 & 3,
		.present = s->attrib >> 7 & 1, .avl = s->attrib >> 8 & 1,
		.l = s->attrib >> 9 & 1, .db = s->attrib >> 10 & 1,
		.g = s->attrib >> 11 & 1, .unusable = !(s->attrib & BIT(7)),
	};
}

static struct vmcb_save_area *save_of(struct caretaker_vcpu *v)
{
	return (void *)v->save + offsetof(struct vmcb, save);
}

/* MSRs that the vCPU can change: those in the VMCB, and those that are lent. */
static u64 *own_msr(struct caretaker_vcpu *v, u32 index)
{
	struct vmcb_save_area *s = save_of(v);

	switch (index) {
	case MSR_STAR:			return &s->star;
	case MSR_LSTAR:			return &s->lstar;
	case MSR_CSTAR:			return &s->cstar;
	case MSR_SYSCALL_MASK:		return &s->sfmask;
	case MSR_KERNEL_GS_BASE:	return &s->kernel_gs_base;
	case MSR_IA32_SYSENTER_CS:	return &s->sysenter_cs;
	case MSR_IA32_SYSENTER_ESP:	return &s->sysenter_esp;
	case MSR_IA32_SYSENTER_EIP:	return &s->sysenter_eip;
	case MSR_IA32_CR_PAT:		return &s->g_pat;
	case MSR_TSC_AUX:		return (u64 *)&v->tsc_aux;
	case MSR_IA32_TSC_DEADLINE:	return (u64 *)&v->tsc_deadline;
	default:			return NULL;
	}
}

static int put_msrs(struct caretaker_vcpu *v, const struct caretaker_record *r)
{
	u32 i;

	for (i = 0; i < r->nmsrs; i++) {
		u32 index = r->msrs[i].index;
		u64 *own = own_msr(v, index);

		if (own) {
			*own = r->msrs[i].data;
			continue;
		}
		/* Time goes on, and its rate and offset are elsewhere. */
		if (index == MSR_IA32_TSC)
			continue;
		if (v->msrs == CARETAKER_MSRS)
			return -E2BIG;
		v->msr[v->msrs].index = index;
		v->msr[v->msrs++].value = r->msrs[i].data;
	}
	return 0;
}

/* Those that the sregs have, and that may be read. */
static int put_sreg_msrs(struct caretaker_vcpu *v, const struct caretaker_record *r)
{
	if (v->msrs + 2 > CARETAKER_MSRS)
		return -E2BIG;
	v->msr[v->msrs].index = MSR_IA32_APICBASE;
	v->msr[v->msrs++].value = r->sregs.apic_base;
	v->msr[v->msrs].index = MSR_EFER;
	v->msr[v->msrs++].value = r->sregs.efer;
	return 0;
}

static void put_sregs(struct vmcb_save_area *s, const struct caretaker_record *r)
{
	s->es = seg_of(&r->sregs.es);
	s->cs = seg_of(&r->sregs.cs);
	s->ss = seg_of(&r->sregs.ss);
	s->ds = seg_of(&r->sregs.ds);
	s->fs = seg_of(&r->sregs.fs);
	s->gs = seg_of(&r->sregs.gs);
	s->tr = seg_of(&r->sregs.tr);
	s->ldtr = seg_of(&r->sregs.ldt);
	s->gdtr = (struct vmcb_seg){ .limit = r->sregs.gdt.limit, .base = r->sregs.gdt.base };
	s->idtr = (struct vmcb_seg){ .limit = r->sregs.idt.limit, .base = r->sregs.idt.base };
	s->cpl = r->sregs.ss.dpl;
	s->efer = r->sregs.efer;
	s->cr0 = r->sregs.cr0;
	s->cr2 = r->sregs.cr2;
	s->cr3 = r->sregs.cr3;
	s->cr4 = r->sregs.cr4;
	s->dr6 = r->debugregs.dr6;
	s->dr7 = r->debugregs.dr7;
	s->rflags = r->regs.rflags;
	s->rip = r->regs.rip;
	s->rsp = r->regs.rsp;
	s->rax = r->regs.rax;
}

static void get_sregs(struct caretaker_record *r, const struct vmcb_save_area *s)
{
	r->sregs.es = segment_of(&s->es);
	r->sregs.cs = segment_of(&s->cs);
	r->sregs.ss = segment_of(&s->ss);
	r->sregs.ds = segment_of(&s->ds);
	r->sregs.fs = segment_of(&s->fs);
	r->sregs.gs = segment_of(&s->gs);
	r->sregs.tr = segment_of(&s->tr);
	r->sregs.ldt = segment_of(&s->ldtr);
	r->sregs.ss.dpl = s->cpl;
	r->sregs.gdt = (struct kvm_dtable){ .base = s->gdtr.base, .limit = s->gdtr.limit };
	r->sregs.idt = (struct kvm_dtable){ .base = s->idtr.base, .limit = s->idtr.limit };
	r->sregs.efer = (s->efer & ~EFER_SVME) | (r->sregs.efer & EFER_SVME);
	r->sregs.cr0 = s->cr0;
	r->sregs.cr2 = s->cr2;
	r->sregs.cr3 = s->cr3;
	r->sregs.cr4 = s->cr4;
	r->debugregs.dr6 = s->dr6;
	r->debugregs.dr7 = s->dr7;
	r->regs.rflags = s->rflags;
	r->regs.rip = s->rip;
}

/* KVM's order is another than the processor's. */
#define GPRS(x)									\
	x(0, rax) x(1, rcx) x(2, rdx) x(3, rbx) x(4, rsp) x(5, rbp) x(6, rsi) x(7, rdi)	\
	x(8, r8) x(9, r9) x(10, r10) x(11, r11) x(12, r12) x(13, r13) x(14, r14) x(15, r15)
#define PUT_GPR(n, name)	v->gpr[n] = r->regs.name;
#define GET_GPR(n, name)	r->regs.name = v->gpr[n];

/* An event whose delivery was interrupted comes first. */
static u64 event_of(const struct caretaker_record *r)
{
	const struct kvm_vcpu_events *e = &r->events;

	if (e->interrupt.injected)
		return SVM_EVTINJ_VALID | (e->interrupt.soft ? SVM_EVTINJ_TYPE_SOFT : 0) |
		       e->interrupt.nr;
	if (e->nmi.injected)
		return SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_NMI | 2;
	if (e->exception.injected)
		return SVM_EVTINJ_VALID | SVM_EVTINJ_TYPE_EXEPT | e->exception.nr |
		       (e->exception.has_error_code ? SVM_EVTINJ_VALID_ERR |
						      (u64)e->exception.error_code << 32 : 0);
	return 0;
}

static void get_event(struct caretaker_record *r, u64 event)
{
	struct kvm_vcpu_events *e = &r->events;

	e->interrupt.injected = e->nmi.injected = e->exception.injected = 0;
	memset(r->sregs.interrupt_bitmap, 0, sizeof(r->sregs.interrupt_bitmap));
	if (!(event & SVM_EVTINJ_VALID))
		return;
	switch (event & SVM_EVTINJ_TYPE_MASK) {
	case SVM_EVTINJ_TYPE_NMI:
		e->nmi.injected = 1;
		break;
	case SVM_EVTINJ_TYPE_EXEPT:
		e->exception.injected = 1;
		e->exception.nr = event & SVM_EVTINJ_VEC_MASK;
		e->exception.has_error_code = !!(event & SVM_EVTINJ_VALID_ERR);
		e->exception.error_code = event >> 32;
		break;
	default:
		e->interrupt.injected = 1;
		e->interrupt.soft = (event & SVM_EVTINJ_TYPE_MASK) == SVM_EVTINJ_TYPE_SOFT;
		e->interrupt.nr = event & SVM_EVTINJ_VEC_MASK;
	}
}

/**
 * caretaker_from_record() - make of a record what the caretaker runs
 * @v: zeroed; what is about memory, the group and the CPU is left to the caller
 * @r: the record
 *
 * Return: 0; -EINVAL: not a record; -EOPNOTSUPP: it has state that would be lost; -E2BIG: too
 * many MSRs.
 */
int caretaker_from_record(struct caretaker_vcpu *v, const struct caretaker_record *r)
{
	u32 i;
	int err;

	if (r->magic != CARETAKER_RECORD_MAGIC || r->version != CARETAKER_RECORD_VERSION ||
	    r->nmsrs > CARETAKER_RECORD_MSRS || r->ncpuids > CARETAKER_RECORD_CPUIDS)
		return -EINVAL;
	/* State that would be lost, or that is not emulated. */
	if ((r->sregs.apic_base & (XAPIC_ENABLE | X2APIC_ENABLE)) != (XAPIC_ENABLE | X2APIC_ENABLE) ||
	    (r->debugregs.dr7 & 0xff) ||
	    r->events.exception.pending || r->events.nmi.pending || r->events.nmi.masked ||
	    r->events.smi.smm || r->events.smi.pending || r->events.triple_fault.pending ||
	    r->mp_state > KVM_MP_STATE_HALTED || r->mp_state == KVM_MP_STATE_UNINITIALIZED)
		return -EOPNOTSUPP;

	v->magic = CARETAKER_MAGIC;
	v->abi = CARETAKER_ABI;
	v->tsc_offset = r->tsc_offset;
	v->xcr0 = r->xcr0;
	v->halted = r->mp_state == KVM_MP_STATE_HALTED;
	v->event = event_of(r);
	v->int_state = r->events.interrupt.shadow ? 1 : 0;
	GPRS(PUT_GPR)
	put_sregs(save_of(v), r);
	err = put_msrs(v, r) ?: put_sreg_msrs(v, r);
	if (err)
		return err;
	memcpy(v->xsave, &r->xsave, sizeof(v->xsave));
	memcpy(v->apic, &r->lapic, sizeof(r->lapic));
	*(u32 *)(v->apic + APIC_ID) >>= 24;	/* KVM's form of it, without KVM_CAP_X2APIC_API */
	v->cpuids = r->ncpuids;
	for (i = 0; i < r->ncpuids; i++) {
		const struct kvm_cpuid_entry2 *e = &r->cpuids[i];

		v->cpuid[i] = (struct caretaker_cpuid){
			.leaf = e->function, .subleaf = e->index,
			.by_subleaf = e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
			.eax = e->eax, .ebx = e->ebx, .ecx = e->ecx, .edx = e->edx,
		};
	}
	return 0;
}

/**
 * caretaker_to_record() - update a record with what a vCPU has become
 * @r: the record that it came from, which has all that cannot have changed
 * @from: the vCPU
 */
void caretaker_to_record(struct caretaker_record *r, const struct caretaker_vcpu *from)
{
	struct caretaker_vcpu *v = (struct caretaker_vcpu *)from;
	u32 i;

	GPRS(GET_GPR)
	get_sregs(r, save_of(v));
	get_event(r, v->event);
	r->events.interrupt.shadow = v->int_state & 1;
	r->mp_state = v->halted ? KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE;
	for (i = 0; i < r->nmsrs; i++) {
		u64 *own = own_msr(v, r->msrs[i].index);

		if (own)
			r->msrs[i].data = *own;
	}
	memcpy(&r->lapic, v->apic, sizeof(r->lapic));
	*(u32 *)((u8 *)&r->lapic + APIC_ID) <<= 24;
	r->sregs.cr8 = *(u32 *)((u8 *)&r->lapic + APIC_TASKPRI) >> 4;
	memcpy(&r->xsave, v->xsave, sizeof(v->xsave));
	r->exit_code = v->exit_code;
	r->exit_info_1 = v->exit_info_1;
	r->exit_info_2 = v->exit_info_2;
	r->entries = v->entries;
}
