// Inspecting: documents of the engine printed as indented JSON, as one line, or by a template.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "apps/berth/context.h"

namespace berth::cli::commands {

/// Fetches the JSON document of one object.
using Fetch = std::function<Outcome<std::string>(const std::string& name)>;

/// Prints the documents of all names: a JSON list, or one template result per line. What cannot be found is
/// reported at the end, after what could. `format`: "", "json" or a template.
Outcome<int> inspect_each(Context& context, const std::vector<std::string>& names, const std::string& format,
                          const Fetch& fetch);

/// Indents JSON by four spaces without changing order, numbers or escapes. Text that is not JSON: an error.
Result<std::string> indent_json(std::string_view json);
/// The same without any space.
Result<std::string> compact_json(std::string_view json);

}  // namespace berth::cli::commands
