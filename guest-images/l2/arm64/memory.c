// SPDX-License-Identifier: Apache-2.0
/*
 * What the compiler takes for granted even on bare metal, and here makes calls of.
 */
#include "../beacon.h"

void *memset(void *to, int value, size_t size);
void *memcpy(void *to, const void *from, size_t size);

void *memset(void *to, int value, size_t size)
{
	for (size_t i = 0; i < size; i++)
		((volatile uint8_t *)to)[i] = (uint8_t)value;
	return to;
}

void *memcpy(void *to, const void *from, size_t size)
{
	beacon_copy(to, from, size);
	return to;
}
