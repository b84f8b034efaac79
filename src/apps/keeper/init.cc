// berth-init: the init of containers started with --init. Small and predictable rather than clever: one child
// of its own, every signal passed on, every orphan reaped.
#include <fcntl.h>
#include <linux/prctl.h>

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

std::string_view search_path_of(char** environment) {
  for (; *environment != nullptr; ++environment) {
    std::string_view variable(*environment);
    if (variable.starts_with("PATH=")) return variable.substr(5);
  }
  return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
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
