"""Runs a command as an unprivileged user who may still reach root's folders. Linux only.

    python unprivileged.py UID GID COMMAND [ARGUMENT ...]

PostgreSQL refuses to run as root. When root's checkout lies below a folder that other users may
not enter (``/root`` is one), the user it runs as must keep one of root's capabilities,
CAP_DAC_OVERRIDE: pass folder and file permissions. All others are given up, and there is no way
back to root. A change of user clears capabilities, hence the four steps of ``become``.
"""

import ctypes
import os
import sys


CAP_DAC_OVERRIDE = 1 << 1
PR_SET_KEEPCAPS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 8, 47, 2
CAPABILITY_VERSION_3 = 0x20080522  # two 32-bit words of each set


def become(uid: int, gid: int) -> None:
    """Become the user and keep CAP_DAC_OVERRIDE over the next ``exec``; raises ``OSError``."""
    libc = ctypes.CDLL(None, use_errno=True)
    _checked(libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0))  # 1. setuid leaves the permitted set alone
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    kept = CAP_DAC_OVERRIDE  # 2. shrink it to one, and make that effective and inheritable
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(kept, kept, kept, 0, 0, 0)
    _checked(libc.capset(header, sets))
    _checked(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, 1, 0, 0))  # 3. exec keeps it
    _checked(libc.prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0))  # 4. no second change of user


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
