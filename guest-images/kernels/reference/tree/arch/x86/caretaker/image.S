/* SPDX-License-Identifier: GPL-2.0-only */
#include <linux/linkage.h>

	.section ".rodata", "a"
	.balign	4096
SYM_DATA_START(caretaker_image_start)
	.incbin	"arch/x86/caretaker/core/core.bin"
SYM_DATA_END_LABEL(caretaker_image_start, SYM_L_GLOBAL, caretaker_image_end)
