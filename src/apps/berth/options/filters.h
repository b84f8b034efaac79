// --filter name=value as the API's `filters` parameter. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace berth::cli::options {

/// Names in lower case, values as given, both trimmed.
using Filters = std::vector<std::pair<std::string, std::string>>;

Filters parse_filters(const std::vector<std::string>& flags);
/// {"status":{"running":true}}, or empty when there are none.
std::string filters_json(const Filters& filters);
bool has_filter(const Filters& filters, std::string_view name);

}  // namespace berth::cli::options
