// Signal names.
#include "apps/runtime/signals.h"

#include <charconv>
#include <csignal>
#include <cstring>
#include <string>

#include "base/format.h"

namespace berth::runtime {
namespace {

bool read_number(std::string_view text, int& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && end == text.data() + text.size();
}

}  // namespace

Result<int> parse_signal(std::string_view text) {
  int number = 0;
  if (read_number(text, number) && number >= 0 && number <= SIGRTMAX) return number;
  std::string name;
  for (char c : text) name.push_back(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c);
  std::string_view bare = name;
  if (bare.starts_with("SIG")) bare.remove_prefix(3);
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = ::sigabbrev_np(signal);
    if (known != nullptr && bare == known) return signal;
  }
  constexpr int kFirstRealTime = 34;  // what libc leaves of them, and Go calls RTMIN
  if (bare == "RTMIN") return kFirstRealTime;
  if (bare == "RTMAX") return SIGRTMAX;
  if (bare.starts_with("RTMIN+") && read_number(bare.substr(6), number) &&
      number <= SIGRTMAX - kFirstRealTime)
    return kFirstRealTime + number;
  if (bare.starts_with("RTMAX-") && read_number(bare.substr(6), number) &&
      number <= SIGRTMAX - kFirstRealTime)
    return SIGRTMAX - number;
  return failure(Kind::InvalidArgument, "unknown signal \"{}\"", text);
}

}  // namespace berth::runtime
