/* SPDX-License-Identifier: GPL-2.0-only */
/* Resident vCPUs, shared by the files that are about them. */
#ifndef CARETAKER_VCPU_H
#define CARETAKER_VCPU_H

#include <linux/caretaker.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include "caretaker.h"

/**
 * struct vcpu_file - a file of /dev/caretaker
 * @lock: over all of it, but while the file is opened or released
 * @state: CARETAKER_VCPU_* but PARKED, which is RUNS here
 * @index: number of its CPU, as the caretaker knows it
 * @cpu: number of its CPU, as Linux does; -1 if the CPU is online, or not known
 * @guest: whose vCPU it is, while it has memory
 * @members: how many vCPUs the guest has
 * @record: its state before it became resident, and again once it is stopped
 * @memory: file of the guest's memory, or NULL
 * @folios: pinned folios of that file
 * @nfolios: how many
 * @preserved: link of a list in luo.c, while a session has this file
 */
struct vcpu_file {
	struct mutex lock;
	u32 state;
	unsigned int index;
	int cpu;
	struct guest *guest;
	u32 members;
	struct caretaker_record *record;
	struct file *memory;
	struct folio **folios;
	long nfolios;
	struct list_head preserved;
};

/**
 * struct guest - what has the same memory is one guest
 * @list: link of all guests, under guests_lock (guest_memory.c)
 * @inode: of its memory, which its vCPUs hold
 * @id: random: by it the caretaker knows which vCPUs belong together, over kexecs, too
 * @vcpus: number of files that have it, under guests_lock
 */
struct guest {
	struct list_head list;
	struct inode *inode;
	u64 id[2];
	unsigned int vcpus;
};

extern const struct file_operations caretaker_vcpu_fops;

/* vcpu.c */
struct vcpu_file *caretaker_new_vcpu(void);
int caretaker_fetch(unsigned int index, struct caretaker_record *into);
void caretaker_online_cpu(struct vcpu_file *vcpu);

/* guest_memory.c */
int caretaker_list_memory(struct vcpu_file *vcpu, struct caretaker_vcpu *v,
			  const struct caretaker_region *regions, u32 n);
void caretaker_free_lists(struct caretaker_vcpu *v);
void caretaker_unpin_memory(struct vcpu_file *vcpu);
bool caretaker_memory_is_preserved(struct file *file);

#endif
