# SPDX-License-Identifier: Apache-2.0
# What arm64 adds: its sources, and the flags that keep the compiler off registers that are not its own and off libgcc.
BARE_OBJECTS := head.o trap.o fp.o fdt.o serial.o clock.o gic.o smp.o memory.o
BARE_CFLAGS := -mgeneral-regs-only -mno-outline-atomics -mcmodel=small
# Flat, behind the header of Linux's Image: what QEMU and labvmm hand an FDT to.
PAYLOADS := spinner.img ticker.img
# The Linux payload's own assembly.
LINUX_SOURCES := fp.S fp_sleep.S
