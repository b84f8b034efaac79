// The filters that prune and list requests of all kinds share: label, label!, until; and the check that no
// other filter is there.
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "base/result.h"
#include "engine/events.h"

namespace berth::engine {

/// InvalidArgument "invalid filter 'x'" for a key that is not in `known`.
Result<void> check_filters(const Filters& filters, std::initializer_list<std::string_view> known);
/// All of `label` match and none of `label!`. "name" asks for the label, "name=value" for its value.
bool labels_match(const Filters& filters, const std::map<std::string, std::string>& labels);
/// The point in time of `until` (a duration is counted back from now). Several: InvalidArgument.
Result<std::optional<Timestamp>> until_filter(const Filters& filters);
/// True for a key whose only value is a true word; InvalidArgument for anything but a boolean.
Result<std::optional<bool>> boolean_filter(const Filters& filters, std::string_view key);
/// The values of a key; none when it is not there.
const std::vector<std::string>& filter_values(const Filters& filters, std::string_view key);

}  // namespace berth::engine
