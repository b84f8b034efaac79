// Platforms by name, in Go's words: "linux/arm64/v8", and half of one, "linux" or "arm64".
#include <algorithm>
#include <array>
#include <string_view>

#include "base/format.h"
#include "spec/dockerfile_lexer.h"
#include "spec/image.h"

namespace berth::spec {
namespace {

constexpr std::array operating_systems = std::to_array<std::string_view>(
    {"linux", "windows", "darwin",  "freebsd", "android", "aix",  "dragonfly", "hurd", "illumos", "ios", "js",
     "nacl",  "netbsd",  "openbsd", "plan9",   "solaris", "wasi", "wasip1",    "zos",  "macos"});
constexpr std::array architectures = std::to_array<std::string_view>(
    {"386",     "amd64",   "amd64p32", "arm",    "armbe",   "arm64",    "arm64be",   "ppc64",
     "ppc64le", "loong64", "mips",     "mipsle", "mips64",  "mips64le", "mips64p32", "mips64p32le",
     "ppc",     "riscv",   "riscv64",  "s390x",  "sparc64", "wasm"});

/// Go's names of the architectures that uname(2) spells differently.
std::string host_architecture() {
#if defined(__x86_64__)
  return "amd64";
#elif defined(__aarch64__)
  return "arm64";
#elif defined(__arm__)
  return "arm";
#elif defined(__i386__)
  return "386";
#elif defined(__riscv) && __riscv_xlen == 64
  return "riscv64";
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return "ppc64le";
#elif defined(__s390x__)
  return "s390x";
#else
#error "name this architecture as Go does"
#endif
}

template <size_t N>
bool is_one_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string canonical_architecture(std::string_view name) {
  if (name == "x86_64" || name == "x86-64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i386") return "386";
  if (name == "armhf" || name == "armel") return "arm";
  return std::string(name);
}

/// One to three parts in lower case.
Result<std::vector<std::string>> platform_parts(std::string_view text) {
  std::vector<std::string> parts;
  std::string_view rest = text;
  while (true) {
    const size_t slash = rest.find('/');
    const std::string_view part = rest.substr(0, slash);
    const bool valid = !part.empty() && part.size() <= 64 &&
                       part.find_first_not_of(
                           "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                           "0123456789_.-") == std::string_view::npos;
    if (!valid || parts.size() == 3) {
      return failure(
          Kind::InvalidArgument,
          "invalid platform \"{}\": \"{}\" is an invalid {} component: expected os/architecture[/variant]",
          text.substr(0, 128), part.substr(0, 64), parts.empty() ? "OS" : "platform");
    }
    parts.push_back(dockerfile::lower(part));
    if (slash == std::string_view::npos) return parts;
    rest.remove_prefix(slash + 1);
  }
}

}  // namespace

Result<Platform> Platform::parse(std::string_view text) {
  TRY(auto parts, platform_parts(text));
  const std::string& only = parts.front();
  if (parts.size() > 1) {
    return Platform{.architecture = canonical_architecture(parts[1]),
                    .os = parts[0],
                    .variant = parts.size() > 2 ? parts[2] : ""};
  }
  if (is_one_of(operating_systems, only)) return Platform{.architecture = host_architecture(), .os = only};
  std::string architecture = canonical_architecture(only);
  if (is_one_of(architectures, architecture))
    return Platform{.architecture = std::move(architecture), .os = "linux"};
  return failure(Kind::InvalidArgument, "\"{}\": unknown operating system or architecture: invalid argument",
                 only);
}

Platform Platform::host() {
  return {.architecture = host_architecture(), .os = "linux"};
}

std::string Platform::str() const {
  std::string text = os + "/" + architecture;
  if (!variant.empty()) text += "/" + variant;
  return text;
}

bool matches(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os || wanted.architecture != offered.architecture) return false;
  auto variant = [](const Platform& platform) {
    // arm64 has one variant that counts, and it may be left out (OCI image-index.md).
    if (platform.architecture == "arm64" && platform.variant == "v8") return std::string();
    return platform.variant;
  };
  return variant(wanted).empty() || variant(offered).empty() || variant(wanted) == variant(offered);
}

}  // namespace berth::spec
