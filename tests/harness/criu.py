"""The host's criu, which is optional: the program that tests use, or why there is none."""
import functools
import os
import shutil
import subprocess
import unittest


@functools.cache
def criu():
    """(program, None) or (None, reason). BERTH_CRIU names another program than that of PATH."""
    program = os.environ.get("BERTH_CRIU") or shutil.which("criu") or "/usr/sbin/criu"
    if not os.access(program, os.X_OK):
        return None, "there is no criu (BERTH_CRIU=PATH names one)"
    if os.geteuid() != 0:
        return None, "criu needs root"
    check = subprocess.run([program, "check"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
                           errors="replace")
    if check.returncode == 0:
        return program, None
    said = (check.stdout + check.stderr).strip().splitlines() or [f"exit code {check.returncode}"]
    return None, f"{program} check fails on this kernel: {said[0]} (BERTH_CRIU=PATH names another)"


def with_criu(test):
    """For tests, or classes of them, that need one which works here."""
    _, reason = criu()
    return unittest.skipIf(reason, reason)(test)


def environment():
    """That programs find it."""
    program, _ = criu()
    folder = os.path.dirname(program) if program else ""
    return {"PATH": ":".join([*([folder] if folder else []), os.environ.get("PATH", os.defpath)])}
