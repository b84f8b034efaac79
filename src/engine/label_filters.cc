// Shared filters.
#include "engine/label_filters.h"

#include <algorithm>

#include "base/format.h"

namespace berth::engine {
namespace {

bool label_matches(const std::string& wanted, const std::map<std::string, std::string>& labels) {
  size_t equals = wanted.find('=');
  auto found = labels.find(wanted.substr(0, equals));
  if (found == labels.end()) return false;
  return equals == std::string::npos || found->second == std::string_view(wanted).substr(equals + 1);
}

}  // namespace

Result<void> check_filters(const Filters& filters, std::initializer_list<std::string_view> known) {
  for (const auto& [key, values] : filters) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return failure(Kind::InvalidArgument, "invalid filter '{}'", key.substr(0, 64));
    }
  }
  return {};
}

const std::vector<std::string>& filter_values(const Filters& filters, std::string_view key) {
  static const std::vector<std::string> none;
  auto it = filters.find(std::string(key));
  return it == filters.end() ? none : it->second;
}

bool labels_match(const Filters& filters, const std::map<std::string, std::string>& labels) {
  for (const std::string& wanted : filter_values(filters, "label")) {
    if (!label_matches(wanted, labels)) return false;
  }
  for (const std::string& unwanted : filter_values(filters, "label!")) {
    if (label_matches(unwanted, labels)) return false;
  }
  return true;
}

Result<std::optional<Timestamp>> until_filter(const Filters& filters) {
  const auto& values = filter_values(filters, "until");
  if (values.empty()) return std::optional<Timestamp>();
  if (values.size() > 1) return Error(Kind::InvalidArgument, "more than one until filter specified");
  TRY(Timestamp time, parse_time_reference(values[0], now()));
  return std::optional<Timestamp>(time);
}

Result<std::optional<bool>> boolean_filter(const Filters& filters, std::string_view key) {
  const auto& values = filter_values(filters, key);
  if (values.empty()) return std::optional<bool>();
  bool truth = false;
  bool falsehood = false;
  for (const std::string& value : values) {
    bool is_true =
        value == "true" || value == "1" || value == "True" || value == "t" || value == "T" || value == "TRUE";
    bool is_false = value == "false" || value == "0" || value == "False" || value == "f" || value == "F" ||
                    value == "FALSE";
    if (!is_true && !is_false) {
      return failure(Kind::InvalidArgument, "invalid filter '{}={}'", key, value.substr(0, 64));
    }
    truth |= is_true;
    falsehood |= is_false;
  }
  if (truth && falsehood)
    return failure(Kind::InvalidArgument, "invalid filter '{}': true and false at once", key);
  return std::optional<bool>(truth);
}

}  // namespace berth::engine
