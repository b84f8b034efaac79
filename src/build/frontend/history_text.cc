// History wording.
#include "build/frontend/history_text.h"

#include <algorithm>

#include "base/format.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

/// `value` / `unit` without trailing zeros: 1.5 of 1500 / 1000.
std::string fraction(uint64_t value, uint64_t unit) {
  std::string out = fmt::format("{}", value / unit);
  uint64_t rest = value % unit;
  if (rest == 0) return out;
  out.push_back('.');
  for (uint64_t place = unit / 10; rest != 0; place /= 10) {
    out.push_back(static_cast<char>('0' + rest / place));
    rest %= place;
  }
  return out;
}

/// A number as Go's %q writes it: the character of that code.
std::string go_character(int64_t code) {
  constexpr std::string_view letters = "abtnvfr";  // of 7 to 13
  if (code >= 7 && code < 14) return fmt::format("'\\{}'", letters[static_cast<size_t>(code - 7)]);
  if (code == '\'' || code == '\\') return fmt::format("'\\{}'", static_cast<char>(code));
  if (code >= ' ' && code < 0x7f) return fmt::format("'{}'", static_cast<char>(code));
  if (code >= 0 && code < 0x80) return fmt::format("'\\x{:02x}'", code);
  return fmt::format("'\\u{:04x}'", code < 0 || code > 0xffff ? 0xfffd : code);
}

}  // namespace

std::string go_duration(int64_t nanoseconds) {
  if (nanoseconds == 0) return "0s";
  const std::string sign = nanoseconds < 0 ? "-" : "";
  const uint64_t value =
      nanoseconds < 0 ? 0 - static_cast<uint64_t>(nanoseconds) : static_cast<uint64_t>(nanoseconds);
  constexpr uint64_t second = 1'000'000'000;
  if (value < 1000) return sign + fmt::format("{}ns", value);
  if (value < 1'000'000) return sign + fraction(value, 1000) + "µs";
  if (value < second) return sign + fraction(value, 1'000'000) + "ms";
  const uint64_t minutes = value / second / 60;
  std::string out = sign;
  if (minutes >= 60) out += fmt::format("{}h", minutes / 60);
  if (minutes > 0) out += fmt::format("{}m", minutes % 60);
  return out + fraction(value - minutes * 60 * second, second) + "s";
}

std::string healthcheck_text(const spec::Healthcheck& check) {
  return fmt::format(
      "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
      spec::go_list(check.test), go_duration(check.interval), go_duration(check.timeout),
      go_duration(check.start_period), go_duration(check.start_interval), check.retries);
}

std::string run_text(const std::vector<std::string>& args,
                     const std::vector<std::pair<std::string, std::string>>& arguments) {
  std::string out = "RUN";
  if (!arguments.empty()) out += fmt::format(" |{}", arguments.size());
  for (const auto& [name, value] : arguments) out += " " + name + "=" + value;
  for (const auto& arg : args) out += " " + arg;
  return out + " # buildkit";
}

std::string classic_text(const std::vector<std::string>& shell, std::string_view instruction,
                         NopSpace space) {
  std::string out;
  for (const auto& word : shell) out += word + " ";
  if (shell.empty()) out = "/bin/sh -c ";
  return out + (space == NopSpace::Two ? "#(nop)  " : "#(nop) ") + std::string(instruction);
}

std::string classic_healthcheck_text(const spec::Healthcheck& check) {
  const auto quoted = [](int64_t duration) { return spec::go_quote(go_duration(duration)); };
  return fmt::format("HEALTHCHECK &{{{} {} {} {} {} {}}}", spec::go_quote(check.test), quoted(check.interval),
                     quoted(check.timeout), quoted(check.start_period), quoted(check.start_interval),
                     go_character(check.retries));
}

std::string classic_run_text(const std::vector<std::string>& args,
                             std::vector<std::pair<std::string, std::string>> arguments) {
  std::sort(arguments.begin(), arguments.end());
  std::string out;
  if (!arguments.empty()) out += fmt::format("|{} ", arguments.size());
  for (const auto& [name, value] : arguments) out += name + "=" + value + " ";
  for (const auto& arg : args) out += arg + " ";
  if (!out.empty()) out.pop_back();
  return out;
}

}  // namespace berth::build
