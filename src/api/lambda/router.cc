#include "api/lambda/router.h"

#include "io/http_message.h"

namespace berth::api::lambda {
namespace {

std::string_view take_segment(std::string_view& text) {
  size_t slash = text.find('/');
  std::string_view segment = text.substr(0, slash);
  text.remove_prefix(slash == std::string_view::npos ? text.size() : slash + 1);
  return segment;
}

/// Whether path and pattern fit; captures as they were sent.
bool fits(std::string_view pattern, std::string_view path, std::vector<std::string_view>& captures) {
  captures.clear();
  while (!pattern.empty() && !path.empty()) {
    std::string_view wanted = take_segment(pattern), given = take_segment(path);
    if (wanted == "{}") {
      if (given.empty()) return false;
      captures.push_back(given);
    } else if (wanted != given) {
      return false;
    }
  }
  return pattern.empty() && path.empty();
}

std::span<const std::span<const Operation>> groups() {
  static const std::span<const Operation> all[] = {
      invoke_operations(), function_operations(), version_operations(), layer_operations(),
      policy_operations(), setting_operations(),  tag_operations(),     event_invoke_operations(),
      url_operations(),    mapping_operations(),  durable_operations(), rare_operations()};
  return all;
}

}  // namespace

bool is_dated_path(std::string_view path) {
  if (path.size() < 11 || !path.starts_with("/20") || path[5] != '-' || path[8] != '-') return false;
  for (size_t i : {3, 4, 6, 7, 9, 10}) {
    if (path[i] < '0' || path[i] > '9') return false;
  }
  return path.size() == 11 || path[11] == '/';
}

Match find_operation(std::string_view method, std::string_view target) {
  std::string_view path = target.substr(0, target.find('?'));
  if (!path.empty()) path.remove_prefix(1);
  while (path.ends_with('/')) path.remove_suffix(1);
  Match match;
  std::vector<std::string_view> captures;
  for (std::span<const Operation> group : groups()) {
    for (const Operation& operation : group) {
      if (!fits(operation.pattern.substr(1), path, captures)) continue;
      match.path_known = true;
      if (operation.method != method) continue;
      match.operation = &operation;
      for (std::string_view capture : captures) {
        match.captures.push_back(io::percent_decode(capture).value_or(std::string(capture)));
      }
      return match;
    }
  }
  return match;
}

}  // namespace berth::api::lambda
