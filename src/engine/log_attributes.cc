// What of a container's labels and variables goes with its lines.
#include <algorithm>

#include "base/format.h"
#include "engine/expression.h"
#include "engine/log_drivers.h"

namespace berth::engine {
namespace {

using Pairs = std::map<std::string, std::string>;

std::string option(const spec::LogConfig& config, const std::string& name) {
  auto found = config.config.find(name);
  return found == config.config.end() ? std::string() : found->second;
}

void add_named(const Pairs& from, std::string_view names, Pairs& attributes) {
  while (!names.empty()) {
    size_t comma = std::min(names.find(','), names.size());
    auto found = from.find(std::string(names.substr(0, comma)));
    if (found != from.end()) attributes[found->first] = found->second;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
}

void add_matching(const Pairs& from, const std::string& pattern, Pairs& attributes) {
  if (pattern.empty()) return;
  auto expression = Expression::compile(pattern);
  if (!expression) return;  // of an engine that did not look at it when the container was made
  for (const auto& [name, value] : from) {
    if (expression->matches(name)) attributes[name] = value;
  }
}

Pairs variables_of(const ContainerRecord& record) {
  Pairs variables;
  for (const std::string& entry : record.config.env) {
    if (size_t equals = entry.find('='); equals != entry.npos)
      variables[entry.substr(0, equals)] = entry.substr(equals + 1);
  }
  return variables;
}

}  // namespace

Result<void> check_log_attributes(const spec::LogConfig& config) {
  for (const char* name : {"labels-regex", "env-regex"}) {
    auto compiled = Expression::compile(option(config, name));
    // In docker this is found when the logger is made, at the start.
    if (!compiled)
      return failure(Kind::InvalidArgument, "failed to initialize logging driver: --log-opt {}: {}", name,
                     compiled.error().message());
  }
  return {};
}

std::map<std::string, std::string> log_attributes(const ContainerRecord& record) {
  const spec::LogConfig& config = record.host_config.log_config;
  const Pairs variables = variables_of(record);
  Pairs attributes;
  add_named(record.config.labels, option(config, "labels"), attributes);
  add_matching(record.config.labels, option(config, "labels-regex"), attributes);
  add_named(variables, option(config, "env"), attributes);
  add_matching(variables, option(config, "env-regex"), attributes);
  return attributes;
}

}  // namespace berth::engine
