// Filters of lists, events and prune.
#include "apps/berth/options/filters.h"

#include "base/json.h"

namespace berth::cli::options {
namespace {

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

Filters parse_filters(const std::vector<std::string>& flags) {
  Filters filters;
  for (const std::string& flag : flags) {
    if (flag.empty()) continue;
    size_t equals = flag.find('=');
    std::string name(trim(std::string_view(flag).substr(0, equals)));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    std::string value(equals == std::string::npos ? "" : trim(std::string_view(flag).substr(equals + 1)));
    filters.emplace_back(std::move(name), std::move(value));
  }
  return filters;
}

std::string filters_json(const Filters& filters) {
  if (filters.empty()) return {};
  Json json = Json::object();
  for (const auto& [name, value] : filters) json[name][value] = true;
  return to_json(json);
}

bool has_filter(const Filters& filters, std::string_view name) {
  for (const auto& [key, value] : filters) {
    if (key == name) return true;
  }
  return false;
}

}  // namespace berth::cli::options
