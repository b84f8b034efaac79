// History wording.
#include "build/frontend/history_text.h"

#include <algorithm>

#include "base/duration_text.h"
#include "base/format.h"
#include "spec/go_quote.h"

namespace berth::build {
namespace {

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
