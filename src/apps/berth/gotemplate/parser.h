// Parser: the syntax tree of a template from its tokens.
#pragma once

#include <string_view>

#include "apps/berth/gotemplate/node.h"
#include "base/result.h"

namespace berth::cli::gotemplate {

/// The error carries Go's whole sentence with template name and line.
Result<NodePtr> parse_template(std::string_view source, std::string_view name);
/// True for the names that call() in functions.h knows.
bool is_function(std::string_view name);

}  // namespace berth::cli::gotemplate
