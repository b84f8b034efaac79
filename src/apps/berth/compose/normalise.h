// One form for everything: short syntaxes become long ones, lists of KEY=value become mappings, relative
// paths become absolute, unknown keys are refused. Done per file, before files are merged, so that merging
// knows one form alone.
#pragma once

#include <string>

#include "apps/berth/compose/value.h"
#include "base/result.h"

namespace berth::cli::compose {

/// Checks and normalises a whole file (the keys of the Compose specification's top level). `directory` is
/// what relative paths are relative to; absolute.
Result<void> normalise_file(Value& file, const std::string& directory);
/// One service of it; also what `extends` brings in from another file.
Result<void> normalise_service(Value& service, const std::string& path, const std::string& directory);

/// `path` made absolute by `directory`, "~" by $HOME, and cleaned of "." and ".."; as it is without a
/// directory.
std::string resolve_path(const std::string& directory, const std::string& path);
/// A command line as a shell splits it, without expansion. Unbalanced quotes: InvalidArgument.
Result<std::vector<std::string>> split_command(std::string_view text);

}  // namespace berth::cli::compose
