// berth-init: the init of containers started with --init. Small and predictable rather than clever: one child
// of its own, every signal passed on, every orphan reaped.
#include <fcntl.h>
#include <linux/prctl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <string_view>

#include "apps/keeper/main.h"
#include "launch/executor/program.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;

namespace {

constexpr int kSetMask = 2;
constexpr int kSigChild = 17, kSigSegv = 11, kSigFpe = 8, kSigIll = 4, kSigBus = 7, kSigAbort = 6,
              kSigTrap = 5, kSigSys = 31, kSigTtin = 21, kSigTtou = 22;
constexpr uint64_t bit(int signal) {
  return uint64_t{1} << (signal - 1);
}
/// All but those that a fault of our own raises.
constexpr uint64_t kForwarded = ~(bit(kSigSegv) | bit(kSigFpe) | bit(kSigIll) | bit(kSigBus) |
                                  bit(kSigAbort) | bit(kSigTrap) | bit(kSigSys));

void complain(std::string_view name, std::string_view why) {
  launch::FixedBuffer<511> text("exec: \"");
  text.append(name);
  text.append("\": ");
  text.append(why);
  text.append("\n");
  call::write(2, text.c_str(), text.size());
}

std::string_view value_of(char** environment, std::string_view name) {
  for (; *environment != nullptr; ++environment) {
    std::string_view variable(*environment);
    if (variable.starts_with(name) && variable.size() > name.size() && variable[name.size()] == '=') {
      return variable.substr(name.size() + 1);
    }
  }
  return {};
}

std::string_view search_path_of(char** environment) {
  std::string_view path = value_of(environment, "PATH");
  return path.empty() ? "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" : path;
}

/// For a runtime client that asks for it by BERTH_RUNTIME_SOCKET=3: a connection to the Runtime API of this
/// sandbox as descriptor 3, which an interpreter would need its own network library for. Reading from it ends
/// with EAGAIN after kReadTimeout. A client that finds none connects for itself.
void connect_runtime(char** environment) {
  constexpr int kDescriptor = 3;
  constexpr timeval kReadTimeout = {.tv_sec = 0, .tv_usec = 100'000};
  constexpr std::string_view kLoopback = "127.0.0.1:";
  if (value_of(environment, "BERTH_RUNTIME_SOCKET") != "3") return;
  std::string_view api = value_of(environment, "AWS_LAMBDA_RUNTIME_API");
  if (!api.starts_with(kLoopback)) return;
  unsigned port = 0;
  for (char digit : api.substr(kLoopback.size())) {
    if (digit < '0' || digit > '9' || port > 65535) return;
    port = port * 10 + static_cast<unsigned>(digit - '0');
  }
  if (port == 0 || port > 65535) return;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  long socket = call::raw(__NR_socket, AF_INET, SOCK_STREAM, 0);
  if (socket < 0) return;
  int one = 1;
  call::raw(__NR_setsockopt, socket, IPPROTO_TCP, TCP_NODELAY, call::address(&one), sizeof one);
  call::raw(__NR_setsockopt, socket, SOL_SOCKET, SO_RCVTIMEO, call::address(&kReadTimeout),
            sizeof kReadTimeout);
  if (socket == kDescriptor &&
      call::raw(__NR_connect, socket, call::address(&address), sizeof address) == 0) {
    return;
  }
  call::raw(__NR_close, socket);
}

/// In the child: becomes the program, in the terminal's foreground if there is a terminal.
[[noreturn]] void become_program(char** arguments, char** environment) {
  constexpr unsigned long kSetForeground = 0x5410;
  call::raw(__NR_setpgid, 0, 0);
  int self = static_cast<int>(call::process_id());
  uint64_t stopped = bit(kSigTtou) | bit(kSigTtin);
  call::signal_mask(kSetMask, &stopped, nullptr);
  call::device_control(0, kSetForeground, call::address(&self));
  uint64_t none = 0;
  call::signal_mask(kSetMask, &none, nullptr);
  connect_runtime(environment);
  launch::PathBuffer path;
  long error = launch::find_program(arguments[0], search_path_of(environment), path);
  if (error >= 0) error = call::execute(AT_FDCWD, path.c_str(), arguments, environment, 0);
  bool missing = error == -ENOENT;
  complain(arguments[0], missing ? "no such file or directory" : "cannot be executed");
  call::exit(missing ? 127 : 126);
}

int exit_code_of(int status) {
  int signal = status & 0x7f;
  return signal != 0 ? 128 + signal : (status >> 8) & 0xff;
}

/// Reaps all that have ended. True with the code when the program is among them.
bool reap(long program, int& code) {
  constexpr int kNoHang = 1;
  int status = 0;
  long pid;
  while ((pid = call::raw(__NR_wait4, -1, call::address(&status), kNoHang, 0)) > 0) {
    if (pid != program) continue;
    code = exit_code_of(status);
    return true;
  }
  return false;
}

long fork_process() {
#if defined(__aarch64__)
  return call::raw(__NR_clone, kSigChild, 0, 0, 0, 0);
#else
  return call::raw(__NR_fork);
#endif
}

}  // namespace

int run_init(int argc, char** argv, char** environment) {
  constexpr int kUsage = 125;
  if (argc < 3 || std::string_view(argv[1]) != "--") return kUsage;
  call::process_control(PR_SET_NAME, reinterpret_cast<unsigned long>("berth-init"));
  uint64_t waited = kForwarded;
  call::signal_mask(kSetMask, &waited, nullptr);
  long program = fork_process();
  if (program < 0) {
    complain(argv[2], "cannot start a process");
    return kUsage;
  }
  if (program == 0) become_program(argv + 2, environment);

  int code = 0;
  while (true) {
    long signal = call::raw(__NR_rt_sigtimedwait, call::address(&waited), 0, 0, sizeof waited);
    if (signal == kSigChild) {
      if (reap(program, code)) return code;
    } else if (signal > 0) {
      call::raw(__NR_kill, program, signal);
    }
  }
}

}  // namespace berth::keeper
