/* SPDX-License-Identifier: GPL-2.0-only */
/* From KVM's form of a vCPU to the caretaker's, and back. */
#ifndef CARETAKER_RECORD_H
#define CARETAKER_RECORD_H

#include <linux/caretaker.h>
#include <asm/caretaker_abi.h>

int caretaker_from_record(struct caretaker_vcpu *v, const struct caretaker_record *r);
void caretaker_to_record(struct caretaker_record *r, const struct caretaker_vcpu *v);

#endif
