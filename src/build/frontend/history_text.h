// The words of image history entries, as BuildKit's Dockerfile front end writes them: tools parse them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/image.h"

namespace berth::build {

/// The comment of history entries; it names the format that tools know, not the program.
inline constexpr std::string_view history_comment = "buildkit.dockerfile.v0";

std::string healthcheck_text(const spec::Healthcheck& check);
/// "RUN |1 A=b /bin/sh -c make # buildkit"; `arguments` are the declared build arguments with their values.
std::string run_text(const std::vector<std::string>& args,
                     const std::vector<std::pair<std::string, std::string>>& arguments);

}  // namespace berth::build
