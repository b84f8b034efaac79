// Interpolation of Compose files: $V, ${V}, ${V:-d}, ${V-d}, ${V:?e}, ${V?e}, ${V:+r}, ${V+r}, nested, and
// $$. Pure.
#pragma once

#include <functional>
#include <map>
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

/// A variable as a template uses it.
struct TemplateVariable {
  bool required = false;
  std::string fallback = {};     ///< of ${V:-d}
  std::string replacement = {};  ///< of ${V:+r}
};
/// Every variable that scalars below `value` use, those within defaults included.
void collect_variables(const Value& value, std::map<std::string, TemplateVariable>& variables);

/// Scalars are marked as having their variables left in.
void leave_variables(Value& value);

/// All scalars below `value`, keys excepted.
Result<void> interpolate_all(Value& value, const Lookup& lookup, std::set<std::string>& unset,
                             const std::string& path = {});

}  // namespace berth::cli::compose
