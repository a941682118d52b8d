"""Asks the kernel for AMX's registers, in every Python process of the image.

vLLM 0.32 computes attention with AMX where the CPU has it, and leaves it to oneDNN to ask for the registers. That does
so at its first large product: an engine whose first prompt had one token died of SIGILL. See arch_prctl(2) and
https://docs.kernel.org/arch/x86/xstate.html; where the CPU has no AMX the kernel says no, and nothing changes.
"""

import ctypes
import platform

ARCH_PRCTL = 158
ARCH_REQ_XCOMP_PERM = 0x1023
XFEATURE_XTILEDATA = 18

if platform.machine() == "x86_64":
    ctypes.CDLL(None).syscall(ARCH_PRCTL, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA)
