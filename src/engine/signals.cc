// The table of signal names.
#include "engine/signals.h"

#include <csignal>

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "base/format.h"

namespace berth::engine {
namespace {

struct Name {
  std::string_view name;
  int number;
};

constexpr std::array kNames = {
    Name{"ABRT", SIGABRT}, Name{"ALRM", SIGALRM}, Name{"BUS", SIGBUS},       Name{"CHLD", SIGCHLD},
    Name{"CLD", SIGCHLD},  Name{"CONT", SIGCONT}, Name{"FPE", SIGFPE},       Name{"HUP", SIGHUP},
    Name{"ILL", SIGILL},   Name{"INT", SIGINT},   Name{"IO", SIGIO},         Name{"IOT", SIGIOT},
    Name{"KILL", SIGKILL}, Name{"PIPE", SIGPIPE}, Name{"POLL", SIGPOLL},     Name{"PROF", SIGPROF},
    Name{"PWR", SIGPWR},   Name{"QUIT", SIGQUIT}, Name{"SEGV", SIGSEGV},     Name{"STKFLT", SIGSTKFLT},
    Name{"STOP", SIGSTOP}, Name{"SYS", SIGSYS},   Name{"TERM", SIGTERM},     Name{"TRAP", SIGTRAP},
    Name{"TSTP", SIGTSTP}, Name{"TTIN", SIGTTIN}, Name{"TTOU", SIGTTOU},     Name{"URG", SIGURG},
    Name{"USR1", SIGUSR1}, Name{"USR2", SIGUSR2}, Name{"VTALRM", SIGVTALRM}, Name{"WINCH", SIGWINCH},
    Name{"XCPU", SIGXCPU}, Name{"XFSZ", SIGXFSZ},
};

// The kernel's range; libc keeps the first two for itself and says so with SIGRTMIN.
constexpr int kRealTimeMin = 34;
constexpr int kRealTimeMax = 64;

int number_of(std::string_view digits) {
  int value = -1;
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc() && end == digits.data() + digits.size() ? value : -1;
}

int real_time(std::string_view name) {
  if (name == "RTMIN") return kRealTimeMin;
  if (name == "RTMAX") return kRealTimeMax;
  int signal = -1;
  if (name.starts_with("RTMIN+")) signal = kRealTimeMin + number_of(name.substr(6));
  if (name.starts_with("RTMAX-")) signal = kRealTimeMax - number_of(name.substr(6));
  return signal >= kRealTimeMin && signal <= kRealTimeMax ? signal : -1;
}

}  // namespace

Result<int> parse_signal(std::string_view text) {
  auto invalid = [&] { return failure(Kind::InvalidArgument, "invalid signal: {}", text); };
  if (int number = number_of(text); number > 0 && number <= kRealTimeMax) return number;
  std::string name(text);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  std::string_view bare = name;
  if (bare.starts_with("SIG")) bare.remove_prefix(3);
  auto known =
      std::find_if(kNames.begin(), kNames.end(), [&](const Name& entry) { return entry.name == bare; });
  if (known != kNames.end()) return known->number;
  if (int signal = real_time(bare); signal > 0) return signal;
  return invalid();
}

}  // namespace berth::engine
