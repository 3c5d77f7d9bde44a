/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * Guests that survive their VMM. The numbers are private ones; see
 * Documentation/virt/kvm/async-run.rst.
 */
#ifndef _UAPI_LINUX_KVM_ASYNC_H
#define _UAPI_LINUX_KVM_ASYNC_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* KVM_ENABLE_CAP of a VM; args[0] is what happens to the vCPUs of an orphan. */
#define KVM_CAP_ORPHAN		0x4c414201

#define KVM_ORPHAN_RUN		0	/* they go on */
#define KVM_ORPHAN_PARK		1	/* they wait for an adopter */
#define KVM_ORPHAN_KILL		2	/* they stop for good, as without all this */

#define KVM_OWNER_PRESENT	0
#define KVM_OWNER_RELEASED	1	/* gave the VM up */
#define KVM_OWNER_GONE		2	/* exited, or executed another program */

struct kvm_orphan_state {
	__u32 state;			/* KVM_OWNER_* */
	__u32 policy;			/* KVM_ORPHAN_* */
	__u64 generation;		/* how often it has been adopted */
	__u64 reserved[4];
};

#define KVM_ADOPT_GENERATION	1	/* only if it is still this generation */

struct kvm_adopt {
	__u32 flags;
	__u32 pad;
	__u64 generation;
	__u64 reserved[2];
};

#define KVM_ORPHAN_STATE	_IOR(0xAE, 0xF0, struct kvm_orphan_state)
#define KVM_ORPHAN_RELEASE	_IO(0xAE, 0xF1)
#define KVM_ADOPT		_IOW(0xAE, 0xF2, struct kvm_adopt)

struct kvm_run_async {
	__u32 flags;
	__u32 pad;
	__u64 reserved[3];
};

#define KVM_ASYNC_PAUSED	0
#define KVM_ASYNC_RUNNING	1
#define KVM_ASYNC_STOPPING	2
#define KVM_ASYNC_STOPPED	3
#define KVM_ASYNC_FAILED	4

struct kvm_async_state {
	__u32 state;			/* KVM_ASYNC_* */
	__u32 exit_reason;		/* KVM_EXIT_*, of the last exit */
	__s32 error;			/* if FAILED: a negative errno */
	__u32 pad;
	__u64 exit_seq;			/* how many exits were for userspace */
	__u64 pc;			/* of the guest, if not RUNNING */
	__u64 reserved[4];
};

#define KVM_RUN_ASYNC		_IOW(0xAE, 0xF3, struct kvm_run_async)
#define KVM_ASYNC_PARK		_IO(0xAE, 0xF4)
#define KVM_ASYNC_STATE		_IOR(0xAE, 0xF5, struct kvm_async_state)

/* In page 0 of a vCPU's mapping, beyond struct kvm_run. */
#define KVM_ASYNC_PAGE_OFFSET	0xf00

struct kvm_async_page {
	__u64 exit_seq;
	__u32 state;
	__u32 pad;
};

#endif /* _UAPI_LINUX_KVM_ASYNC_H */
