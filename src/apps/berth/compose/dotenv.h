// Files of environment variables as Compose reads them (.env, env_file): quotes, comments, `export`, and
// references to earlier variables. Pure.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "apps/berth/compose/interpolation.h"
#include "base/result.h"

namespace berth::cli::compose {

enum class EnvFormat { Compose, Raw };  ///< Raw: values are taken as they stand (format: raw)

struct EnvVariable {
  std::string name;
  std::optional<std::string> value;  ///< none: the caller's own value, if there is one
};

/// `lookup` serves references that the file itself does not define. Malformed: InvalidArgument with file and
/// line.
Result<std::vector<EnvVariable>> parse_dotenv(std::string_view text, const std::string& file,
                                              const Lookup& lookup, EnvFormat format = EnvFormat::Compose);

}  // namespace berth::cli::compose
