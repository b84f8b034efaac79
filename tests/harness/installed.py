"""Programs and libraries of other people, installed by their own package managers into build/clients, once. Without the
package manager or its registry a test that needs them is skipped with the reason."""
import os
import re
import shutil
import subprocess
import unittest

from .engine import TOP

SOURCES = os.path.join(TOP, "tests", "conformance", "clients")
CLIENTS = os.path.join(TOP, "build", "clients")
INSTALL_SECONDS = 240
# What npm, pip, cargo and Maven say without a network: the line that is shown.
UNREACHABLE = (r"ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH|network|could ?n.t resolve|name resolution|connection|"
               r"timed? ?out|from versions: none|could not transfer")


def install(name, program, sources, *commands):
    """Installs into build/clients/NAME unless that was done for the same sources; the folder. Skips where it cannot be."""
    if not shutil.which(program):
        raise unittest.SkipTest(f"{name}: no {program} on this machine")
    folder = os.path.join(CLIENTS, name)
    wanted = "".join(open(os.path.join(SOURCES, source)).read() for source in sources)
    mark = os.path.join(folder, "installed")
    if os.path.exists(mark) and open(mark).read() == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    for source in sources:
        destination = os.path.join(folder, source.split("/", 1)[-1])
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        shutil.copy(os.path.join(SOURCES, source), destination)
    for command in commands:
        try:
            done = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=INSTALL_SECONDS,
                                  env={**os.environ, "CARGO_NET_RETRY": "0", "CARGO_HTTP_TIMEOUT": "20", "PIP_DISABLE_PIP_VERSION_CHECK": "1"})
        except subprocess.TimeoutExpired:
            raise unittest.SkipTest(f"{name}: \"{' '.join(command)}\" did not end within {INSTALL_SECONDS} s") from None
        if done.returncode != 0:
            words = done.stderr + done.stdout
            # Whatever it is, it is not berth that fails here.
            lines = [line.strip() for line in words.splitlines() if line.strip()]
            reason = next((line for line in lines if re.search(UNREACHABLE, line, re.I)), lines[-1] if lines else "no reason given")
            raise unittest.SkipTest(f"{name} could not be installed: {reason[:200]}")
    with open(mark, "w") as file:
        file.write(wanted)
    return folder
