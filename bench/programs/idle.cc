// A container's init that sleeps until it is told to stop, and then stops at once: the kernel drops signals
// to a pid 1 that has no handler, and an engine's stop would then wait for its whole grace period.
#include <signal.h>
#include <unistd.h>

int main() {
  struct sigaction action = {};
  action.sa_handler = [](int) { _exit(0); };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  for (;;) pause();
}
