// How docker's compose keeps projects in registries.
#pragma once

#include <string_view>

namespace berth::cli::compose {

inline constexpr std::string_view artifact_type = "application/vnd.docker.compose.project";
inline constexpr std::string_view artifact_config_type =
    "application/vnd.docker.compose.config.empty.v1+json";
inline constexpr std::string_view artifact_file_type = "application/vnd.docker.compose.file+yaml";
inline constexpr std::string_view artifact_env_type = "application/vnd.docker.compose.envfile";
// Annotations of files.
inline constexpr std::string_view annotation_file = "com.docker.compose.file";
inline constexpr std::string_view annotation_env_file = "com.docker.compose.envfile";
inline constexpr std::string_view annotation_extends = "com.docker.compose.extends";
inline constexpr std::string_view annotation_version = "com.docker.compose.version";

}  // namespace berth::cli::compose
