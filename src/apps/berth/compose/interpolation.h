// Interpolation of Compose files: $V, ${V}, ${V:-d}, ${V-d}, ${V:?e}, ${V?e}, ${V:+r}, ${V+r}, nested, and
// $$. Pure.
#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Gives a variable's value; none: it is not set.
using Lookup = std::function<std::optional<std::string>(const std::string& name)>;

/// Variables without value and default are noted in `unset` and become empty. Malformed: InvalidArgument
/// "invalid interpolation format"; ${V:?message}: "required variable V is missing a value: message".
Result<std::string> interpolate(std::string_view text, const Lookup& lookup, std::set<std::string>& unset);

/// All scalars below `value`, keys excepted.
Result<void> interpolate_all(Value& value, const Lookup& lookup, std::set<std::string>& unset,
                             const std::string& path = {});

}  // namespace berth::cli::compose
