// The words of image history entries, as BuildKit's Dockerfile front end writes them, and as docker's classic
// builder does: tools parse them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "spec/image.h"

namespace berth::build {

/// The comment of history entries; it names the format that tools know, not the program.
inline constexpr std::string_view history_comment = "buildkit.dockerfile.v0";

/// Go's time.Duration.String(): "1m30s", "500ms".
std::string go_duration(int64_t nanoseconds);
std::string healthcheck_text(const spec::Healthcheck& check);
/// "RUN |1 A=b /bin/sh -c make # buildkit"; `arguments` are the declared build arguments with their values.
std::string run_text(const std::vector<std::string>& args,
                     const std::vector<std::pair<std::string, std::string>>& arguments);

/// The same of the classic builder: a command that does nothing, "/bin/sh -c #(nop)  ENV a=b". Of COPY, ADD
/// and WORKDIR the space is one.
enum class NopSpace { One, Two };
std::string classic_text(const std::vector<std::string>& shell, std::string_view instruction, NopSpace space);
/// "HEALTHCHECK &{["CMD" "true"] "30s" "0s" "0s" "0s" '\x03'}"
std::string classic_healthcheck_text(const spec::Healthcheck& check);
/// "|1 A=b /bin/sh -c make"; `arguments` are those that have a value which ENV does not hide.
std::string classic_run_text(const std::vector<std::string>& args,
                             std::vector<std::pair<std::string, std::string>> arguments);

}  // namespace berth::build
