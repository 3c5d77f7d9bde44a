/* SPDX-License-Identifier: Apache-2.0 */
/* What smp.c wants of the local APIC. */
#ifndef X86_64_APIC_H
#define X86_64_APIC_H

#include <stdint.h>

#define APIC_FIXED 0x4000
#define APIC_INIT 0x4500
#define APIC_STARTUP 0x4600

void apic_send(uint32_t apic_id, uint32_t command);

#endif
