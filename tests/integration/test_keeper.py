"""berth-keeper by itself: daemons that go, or that it does not understand, before there is a container."""
import os
import signal
import socket
import unittest

from harness.engine import PROGRAMS, eventually


class WithoutContainer(unittest.TestCase):
    def ends_after(self, act):
        daemon, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with daemon, control:
            # Closed in the keeper: its copy of what is not its own.
            pid = os.posix_spawn(os.path.join(PROGRAMS, "berth-keeper"), ["berth-keeper", "0" * 64], {},
                                 file_actions=[(os.POSIX_SPAWN_DUP2, control.fileno(), 3)])
            control.close()
            ended = []

            def has_ended():
                if not ended:
                    found, status = os.waitpid(pid, os.WNOHANG)
                    ended.extend([os.waitstatus_to_exitcode(status)] if found else [])
                return bool(ended)

            try:
                act(daemon)
                eventually(has_ended, "the keeper ends")
                self.assertEqual(ended, [0])
            finally:
                if not ended:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)

    def test_a_daemon_that_goes(self):
        self.ends_after(lambda daemon: daemon.close())

    def test_a_command_of_another_version(self):
        self.ends_after(lambda daemon: daemon.send(b"\x00\x01\x01\x01\x01\x01"))

    def test_no_command(self):
        self.ends_after(lambda daemon: daemon.send(b"\xff" * 16))


if __name__ == "__main__":
    unittest.main()
