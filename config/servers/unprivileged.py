"""Runs a command as an unprivileged user who may still reach root's folders. Linux only.

    python unprivileged.py UID GID COMMAND [ARGUMENT ...]

PostgreSQL refuses to run as root. When root's checkout lies below a folder that other users may
not enter (``/root`` is one), the user it runs as must keep one of root's capabilities,
CAP_DAC_OVERRIDE: pass folder and file permissions. All others are given up, and there is no way
back to root.
"""

import ctypes
import os
import sys


CAP_DAC_OVERRIDE = 1
PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP = 28, 1 << 2
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
CAPABILITY_VERSION_3 = 0x20080522  # two 32-bit words of each set


def become(uid: int, gid: int) -> None:
    """Become the user and keep CAP_DAC_OVERRIDE over the next ``exec``; raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    # 1. A change of user clears capabilities, and access(2) ignores them, unless told not to.
    _checked(libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0))
    # 2. The user.
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    # 3. Of the capabilities, one: effective, permitted, inheritable.
    kept = 1 << CAP_DAC_OVERRIDE
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    _checked(libc.capset(header, sets))
    # 4. Ambient, so that exec keeps it although the program file grants none.
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0))


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), int(sys.argv[2]))
    except OSError as problem:
        sys.exit(f"The right to pass folder permissions could not be kept: {problem}")
    os.execv(sys.argv[3], sys.argv[3:])  # noqa: S606  # the caller's own command, no shell
