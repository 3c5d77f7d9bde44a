/* SPDX-License-Identifier: GPL-2.0-only */
/* A vCPU that lives on a CPU which Linux gave away, between the files that are about it. */
#ifndef CARETAKER_VCPU_H
#define CARETAKER_VCPU_H

#include <linux/caretaker.h>
#include <linux/fs.h>
#include <linux/init.h>
#include <linux/list.h>
#include <linux/mutex.h>

#include "caretaker.h"

struct vcpu {
	struct mutex lock;
	u32 state;			/* CARETAKER_VCPU_* but PARKED, which is RUNS here */
	unsigned int index;		/* of its CPU, as the caretaker knows it */
	int cpu;			/* as Linux does, and is to have it back; or -1 */
	unsigned long group;		/* of the vCPUs of its guest, */
	u32 members;			/* which are so many */
	struct caretaker_record *record;
	struct file *memory;
	struct folio **folios;
	long nfolios;
	struct list_head kept;		/* of those that are preserved */
};

extern const struct file_operations caretaker_vcpu_fops;

struct vcpu *caretaker_new_vcpu(void);
int caretaker_fetch(unsigned int index, struct caretaker_record *into);
void caretaker_give_cpu_back(struct vcpu *vcpu);

int caretaker_list_memory(struct vcpu *vcpu, struct caretaker_vcpu *v,
			  const struct caretaker_region *regions, u32 n);
void caretaker_free_lists(struct caretaker_vcpu *v);
void caretaker_drop_memory(struct vcpu *vcpu);
bool caretaker_memory_is_kept(struct file *file);

bool caretaker_is_kept(unsigned int index);
void __init caretaker_keeps_vcpus(void);

#endif
