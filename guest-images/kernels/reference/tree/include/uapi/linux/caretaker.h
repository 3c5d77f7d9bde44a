/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Resident vCPUs, which run without a kernel. The numbers are private ones; see
 * Documentation/virt/caretaker.rst.
 */
#ifndef _UAPI_LINUX_CARETAKER_H
#define _UAPI_LINUX_CARETAKER_H

#include <linux/ioctl.h>
#include <linux/kvm.h>
#include <linux/types.h>

#define CARETAKER_RECORD_MAGIC		0x52544b43
#define CARETAKER_RECORD_VERSION	1
#define CARETAKER_RECORD_MSRS		64
#define CARETAKER_RECORD_CPUIDS		100

/*
 * A vCPU that is in no VM: what KVM_GET_* return and KVM_SET_* take. Of `events` only
 * what is injected counts.
 */
struct caretaker_record {
	__u32 magic;
	__u32 version;
	__u32 mp_state;			/* KVM_MP_STATE_RUNNABLE or _HALTED */
	__u32 nmsrs;
	__u32 ncpuids;
	__u32 tsc_khz;			/* of the guest */
	__u64 tsc_offset;		/* KVM_VCPU_TSC_OFFSET */
	__u64 xcr0;
	/* Why it stopped: the processor's exit code (0x60: CARETAKER_STOP or a retrieval). */
	__u64 exit_code;
	__u64 exit_info_1;
	__u64 exit_info_2;
	__u64 entries;
	__u64 reserved[7];
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_debugregs debugregs;
	struct kvm_vcpu_events events;
	struct kvm_msr_entry msrs[CARETAKER_RECORD_MSRS];
	struct kvm_cpuid_entry2 cpuids[CARETAKER_RECORD_CPUIDS];
	struct kvm_lapic_state lapic;
	struct kvm_xsave xsave;
};

#define CARETAKER_REGIONS	4

struct caretaker_region {
	__u64 gpa;
	__u64 offset;			/* in the file */
	__u64 size;
};

struct caretaker_reside {
	__u64 record;			/* struct caretaker_record */
	__s32 memory;			/* memfd or guest_memfd, in a LUO session */
	__u32 cpu;			/* that is taken offline for it; not the boot CPU */
	__u32 nregions;
	__u32 members;			/* vCPUs of the guest: none runs before all are resident */
	struct caretaker_region regions[CARETAKER_REGIONS];
};

#define CARETAKER_VCPU_NONE	0
#define CARETAKER_VCPU_RUNS	1
#define CARETAKER_VCPU_PARKED	2	/* by an exit that is not served: see exit_code */
#define CARETAKER_VCPU_STOPPED	3	/* read() returns its record */

struct caretaker_state {
	__u32 state;
	__u32 cpu;
	__u64 entries;
	__u64 exit_code;
	__u64 exit_info_1;
	__u64 exit_info_2;
	__u64 rip;			/* at its last exit */
};

#define CARETAKER_RESIDE	_IOW(0xCA, 0x60, struct caretaker_reside)
#define CARETAKER_STOP		_IO(0xCA, 0x61)
#define CARETAKER_STATE		_IOR(0xCA, 0x62, struct caretaker_state)

#endif /* _UAPI_LINUX_CARETAKER_H */
