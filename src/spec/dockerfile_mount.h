// The value of RUN --mount: "type=cache,target=/root/.cache,sharing=locked". Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "spec/shell_words.h"

namespace berth::spec {

enum class RunMountType { Bind, Cache, Tmpfs, Secret, Ssh };
enum class CacheSharing { Shared, Private, Locked };

struct RunMount {
  RunMountType type = RunMountType::Bind;
  std::string from = {};  ///< stage or image; empty: the build context
  std::string source = {};
  std::string target = {};
  bool readonly = true;
  bool required = false;
  int64_t size = 0;     ///< bytes, tmpfs
  std::string id = {};  ///< of a cache, secret or agent
  CacheSharing sharing = CacheSharing::Shared;
  std::optional<std::string> env = {};  ///< secret into a variable
  std::optional<uint32_t> mode = {};
  std::optional<uint32_t> uid = {};
  std::optional<uint32_t> gid = {};
};

/// Values are expanded with `lookup`, except that "from" must hold no variable. Malformed: InvalidArgument in
/// BuildKit's words.
Result<RunMount> parse_run_mount(std::string_view text, const VariableLookup& lookup, char escape = '\\');

/// Go's units.RAMInBytes: "64m", "1GiB", "1.5g".
Result<int64_t> parse_byte_size(std::string_view text);

}  // namespace berth::spec
