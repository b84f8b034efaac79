#include "apps/berth/compose/presentation.h"

#include <charconv>

namespace berth::cli::compose {
namespace {

using grammar::Invocation;

std::string variable(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

/// The flag where it is given, else the variable, else the flag's own default.
std::string chosen(const Invocation& globals, std::string_view flag, const Environment& environment,
                   std::string_view name) {
  const std::string value = variable(environment, name);
  return globals.given(flag) || value.empty() ? globals.text(flag) : value;
}

Outcome<Reporter::Mode> mode_of(const std::string& progress, const std::string& ansi) {
  if (progress == "json") return Reporter::Mode::Json;
  if (progress == "quiet" || progress == "none") return Reporter::Mode::Quiet;
  if (progress == "tty" && ansi == "never")
    return refuse("can't use --progress tty while ANSI support is disabled");
  if (progress == "plain" && ansi == "always")
    return refuse("can't use --progress plain while ANSI support is forced");
  for (std::string_view plain : {"", "auto", "tty", "plain"})
    if (progress == plain) return Reporter::Mode::Plain;
  return refuse("unsupported --progress value \"{}\"", progress);
}

Outcome<int64_t> parallel_of(const Invocation& globals, const Environment& environment) {
  const std::string limit = variable(environment, "COMPOSE_PARALLEL_LIMIT");
  if (globals.given("parallel") || limit.empty()) return globals.number("parallel");
  int64_t number = 0;
  const char* end = limit.data() + limit.size();
  const auto [stop, error] = std::from_chars(limit.data(), end, number);
  if (error != std::errc() || stop != end)
    return refuse("COMPOSE_PARALLEL_LIMIT must be an integer (found: \"{}\")", limit);
  return number;
}

}  // namespace

Outcome<Presentation> presentation(const Invocation& globals, const Project& project) {
  Presentation how;
  const std::string ansi =
      globals.on("no-ansi") ? "never" : chosen(globals, "ansi", project.environment, "COMPOSE_ANSI");
  if (ansi == "never" || !variable(project.environment, "NO_COLOR").empty())
    how.colours = Colours::Never;
  else if (ansi == "always")
    how.colours = Colours::Always;
  else if (ansi != "auto")
    return refuse("unsupported --ansi value \"{}\": give auto, never or always", ansi);
  TRY(how.mode, mode_of(chosen(globals, "progress", project.environment, "COMPOSE_PROGRESS"), ansi));
  TRY(how.parallel, parallel_of(globals, project.environment));
  how.status_on_stdout = project.is_on("COMPOSE_STATUS_STDOUT");
  return how;
}

}  // namespace berth::cli::compose
