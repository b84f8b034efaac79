"""Starting programs with as little of Python in the measured time as possible, and weighing running ones."""
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor


class CommandFailed(Exception):
    pass


def _spawn(argv, env, stdin, stdout, stderr):
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, stdout, 1),
        (os.POSIX_SPAWN_DUP2, stderr, 2),
    ]
    return os.posix_spawnp(argv[0], argv, env, file_actions=actions)


class Runner:
    """Runs commands with /dev/null as stdin, and keeps what they say on stderr for the error message."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.null_in = os.open("/dev/null", os.O_RDONLY)
        self.null_out = os.open("/dev/null", os.O_WRONLY)

    def timed(self, argv, env=None, stdout=None):
        """Seconds from the spawn of argv to its end. A non-zero exit raises CommandFailed."""
        environment = dict(os.environ, **(env or {}))
        with tempfile.TemporaryFile(dir=self.scratch) as errors:
            begin = time.perf_counter()
            pid = _spawn(argv, environment, self.null_in, stdout if stdout is not None else self.null_out,
                         errors.fileno())
            _, status = os.waitpid(pid, 0)
            elapsed = time.perf_counter() - begin
            code = os.waitstatus_to_exitcode(status)
            if code != 0:
                errors.seek(0)
                said = errors.read()[-2000:].decode(errors="replace").strip()
                raise CommandFailed(f"{' '.join(argv)}: exit {code}: {said}")
        return elapsed

    def piped(self, argv, consumer, env=None):
        """Seconds that `argv | consumer` takes, and what the consumer printed."""
        environment = dict(os.environ, **(env or {}))
        with tempfile.TemporaryFile(dir=self.scratch) as result, tempfile.TemporaryFile(dir=self.scratch) as errors:
            read_end, write_end = os.pipe2(os.O_CLOEXEC)
            begin = time.perf_counter()
            reader = _spawn(consumer, environment, read_end, result.fileno(), errors.fileno())
            writer = _spawn(argv, environment, self.null_in, write_end, errors.fileno())
            os.close(read_end)
            os.close(write_end)
            statuses = [os.waitpid(pid, 0)[1] for pid in (writer, reader)]
            elapsed = time.perf_counter() - begin
            if any(statuses):
                errors.seek(0)
                raise CommandFailed(f"{' '.join(argv)}: {errors.read()[-2000:].decode(errors='replace')}")
            result.seek(0)
            return elapsed, result.read().decode().strip()

    def output(self, argv, env=None):
        with tempfile.TemporaryFile(dir=self.scratch) as result:
            self.timed(argv, env, stdout=result.fileno())
            result.seek(0)
            return result.read().decode().strip()

    def all_of(self, commands, at_once, env=None):
        """Seconds that the commands take together, `at_once` of them side by side."""
        begin = time.perf_counter()
        if at_once == 1:
            for argv in commands:
                self.timed(argv, env)
        else:
            with ThreadPoolExecutor(at_once) as pool:
                list(pool.map(lambda argv: self.timed(argv, env), commands))
        return time.perf_counter() - begin


def wait_until_idle(patience=60):
    """Until the processors were idle for nine tenths of the last second: the kernel takes namespaces down long after their last process."""
    def times():
        with open("/proc/stat") as stat:
            ticks = [int(word) for word in stat.readline().split()[1:]]
        return ticks[3], sum(ticks)

    end = time.monotonic() + patience
    before = times()
    while time.monotonic() < end:
        time.sleep(1)
        now = times()
        if now[0] - before[0] > 0.9 * (now[1] - before[1]):
            return
        before = now


def pss_of(pid):
    """Proportional set size of one process in KiB; 0 when it has gone."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            for line in rollup:
                if line.startswith("Pss:"):
                    return int(line.split()[1])
    except (FileNotFoundError, ProcessLookupError):
        pass
    return 0


def processes_named(prefixes):
    """Pids in this pid namespace whose command name starts with one of the prefixes (the kernel keeps 15 letters)."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/comm") as comm:
                name = comm.read().strip()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if any(name.startswith(prefix[:15]) for prefix in prefixes):
            found.append(int(entry))
    return found
