/* SPDX-License-Identifier: GPL-2.0-only */
/* __svm_vcpu_run() on a swallowed host: one hypercall. */
#include <linux/linkage.h>
#include <asm/asm.h>
#include <asm/asm-offsets.h>
#include <asm/bitsperlong.h>
#include <asm/caretaker_abi.h>
#include <asm/nospec-branch.h>
#include "kvm-asm-offsets.h"
#include "vmenter.h"

.section .noinstr.text, "ax"

/**
 * __svm_vcpu_run_caretaker - Run a vCPU through the caretaker
 * @svm:	 struct vcpu_svm *
 * @enter_flags: u32
 *
 * Returns 0, or an error if the VMCB was refused.
 */
SYM_FUNC_START(__svm_vcpu_run_caretaker)
	push %rbp
	mov  %rsp, %rbp
	push %r15
	push %r14
	push %r13
	push %r12
	push %rbx
	push %rsi
	push %rdi

	ALTERNATIVE_2 "", "jmp 800f", X86_FEATURE_MSR_SPEC_CTRL, \
			  "", X86_FEATURE_V_SPEC_CTRL
801:
	mov SVM_current_vmcb(%rdi), %rax
	mov KVM_VMCB_pa(%rax), %rax
	or  $CARETAKER_HC_RUN, %rax

	LOAD_REGS %rdi, SVM_vcpu_arch_regs, \
		  %rcx, %rdx, %rbx, %rbp, %rsi, \
		  %r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15
	LOAD_REGS %rdi, SVM_vcpu_arch_regs, %rdi
	ALTERNATIVE "", __CLEAR_CPU_BUFFERS, X86_FEATURE_CLEAR_CPU_BUF_VM

	vmmcall

	/* All registers but RAX and RSP are the guest's. An NMI may be taken here. */
	push %rax
	mov  8(%rsp), %rax
	STORE_REGS %rax, SVM_vcpu_arch_regs, \
		   %rcx, %rdx, %rbx, %rbp, %rsi, %rdi, \
		   %r8, %r9, %r10, %r11, %r12, %r13, %r14, %r15
	mov  %rax, %rdi

	FILL_RETURN_BUFFER %rax, RSB_CLEAR_LOOPS, X86_FEATURE_RSB_VMEXIT
	ALTERNATIVE_2 "", "jmp 900f", X86_FEATURE_MSR_SPEC_CTRL, \
			  "", X86_FEATURE_V_SPEC_CTRL
901:
	UNTRAIN_RET_VM
	CLEAR_REGS %ecx, %edx, %ebx, %ebp, %esi, %edi, \
		   %r8d, %r9d, %r10d, %r11d, %r12d, %r13d, %r14d, %r15d
	pop %rax
	pop %rbx
	pop %rbx
	pop %rbx
	pop %r12
	pop %r13
	pop %r14
	pop %r15
	pop %rbp
	RET

800:
	RESTORE_GUEST_SPEC_CTRL_BODY SVM_spec_ctrl(%rdi), 801b
	jmp 801b
900:
	RESTORE_HOST_SPEC_CTRL_BODY SVM_spec_ctrl(%rdi), 16(%rsp), 901b
	jmp 901b
SYM_FUNC_END(__svm_vcpu_run_caretaker)
