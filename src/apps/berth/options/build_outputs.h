// build --output: "type=oci,dest=FILE", a directory alone, or "-"; and --annotation. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace berth::cli::options {

struct BuildOutput {
  enum class Type { Image, Oci, Docker, Local, Tar, CacheOnly } type = Type::Image;
  std::string dest = {};                ///< file or directory; "-": standard output; empty: none is needed
  std::vector<std::string> names = {};  ///< beside those of --tag
  bool push = false;
};

/// InvalidArgument or Unsupported name what is wrong.
Result<BuildOutput> parse_build_output(std::string_view text);
/// For the flag: the value itself if it is one.
Result<std::string> check_build_output(std::string_view text);

struct BuildAnnotation {
  enum class Place { Manifest, ManifestDescriptor, Index, IndexDescriptor } place = Place::Manifest;
  std::string platform = {};  ///< empty: all
  std::string key;
  std::string value;
};
/// "[PLACE[PLATFORM]:]KEY=VALUE"; several places are separated by commas.
Result<std::vector<BuildAnnotation>> parse_annotation(std::string_view text);
Result<std::string> check_annotation(std::string_view text);

}  // namespace berth::cli::options
