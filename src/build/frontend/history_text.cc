// History wording.
#include "build/frontend/history_text.h"

#include "base/duration_text.h"
#include "base/format.h"
#include "spec/go_quote.h"

namespace berth::build {

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

}  // namespace berth::build
