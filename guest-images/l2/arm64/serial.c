// SPDX-License-Identifier: Apache-2.0
/*
 * Characters out of the PL011, by polling. Its settings are left as the VMM made them.
 */
#include "../bare.h"
#include "cpu.h"
#include "smc.h"

#define UART_DATA UART_BASE
#define UART_FLAGS (UART_BASE + 0x18)
#define UART_FULL (1u << 5)

static int is_open;

/* Bounded: a small VMM may have a data register and no flags. */
void arch_put(char c)
{
	if (!is_open)
		device_page(UART_BASE);
	is_open = 1;
	for (int tries = 64; tries && mmio_read(UART_FLAGS) & UART_FULL; tries--)
		;
	mmio_write(UART_DATA, (uint8_t)c);
}

static int have_mmio_guard(void)
{
	struct smc_result uid = smc_call(KVM_UID, 0, 0, 0);

	return (uint32_t)uid.r[0] == 0xb66fb428 && (uint32_t)uid.r[1] == 0xe911c52e &&
	       (uint32_t)uid.r[2] == 0x564bcaa9 && (uint32_t)uid.r[3] == 0x743a004d &&
	       smc_call(KVM_FEATURES, 0, 0, 0).r[0] & KVM_HAS_MMIO_GUARD;
}

void device_page(uintptr_t at)
{
	if (have_mmio_guard())
		smc_call(KVM_MMIO_GUARD, at & ~0xfffull, 0, 0);
}
