# SPDX-License-Identifier: Apache-2.0
# What x86_64 adds: its sources, and the flags that keep the compiler off registers and stacks that are not its own.
BARE_OBJECTS := head.o trap.o fp.o pvh.o serial.o kvmclock.o apic.o smp.o
BARE_CFLAGS := -m64 -mgeneral-regs-only -mno-red-zone -fcf-protection=none -mcmodel=small
# By their PVH note.
PAYLOADS := spinner.elf ticker.elf
# The Linux payload's own assembly.
LINUX_SOURCES := fp.S fp_sleep.S
