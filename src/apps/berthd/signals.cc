// A pipe from the handlers to the loop.
#include "apps/berthd/signals.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>

#include "sys/fd.h"

namespace berth::berthd {
namespace {

// The handlers know no object: the pipe lives as long as the process.
int read_end = -1;
int write_end = -1;

extern "C" void pass_on(int number) {
  int saved = errno;
  char byte = static_cast<char>(number);
  [[maybe_unused]] ssize_t written = ::write(write_end, &byte, 1);
  errno = saved;
}
extern "C" void do_nothing(int) {}

Result<void> handle(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  if (::sigaction(number, &action, nullptr) != 0)
    return Error::from_errno("install signal handler", {}, errno);
  return {};
}

}  // namespace

Result<Signals> Signals::install() {
  TRY(auto pipe, sys::make_pipe(O_NONBLOCK));
  read_end = pipe.read.release();
  write_end = pipe.write.release();
  for (int number : {SIGTERM, SIGINT, SIGHUP}) CHECK(handle(number, pass_on));
  CHECK(handle(SIGPIPE, do_nothing));
  return Signals();
}

io::Task<Result<Signal>> Signals::next(io::EventLoop& loop) {
  while (true) {
    char byte = 0;
    if (::read(read_end, &byte, 1) == 1) co_return byte == SIGHUP ? Signal::Reload : Signal::Stop;
    CO_CHECK(co_await loop.readable(read_end));
  }
}

}  // namespace berth::berthd
