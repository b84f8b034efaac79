// Platforms by name.
#include "apps/berth/commands/platform.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "base/json.h"

namespace berth::cli::commands {
namespace {

constexpr std::array operating_systems{"linux", "windows", "darwin", "freebsd", "android", "wasi", "js"};
constexpr std::array architectures{"amd64",  "arm64",    "arm",    "386",    "riscv64", "ppc64le", "s390x",
                                   "ppc64",  "mips64le", "mips64", "mipsle", "mips",    "loong64", "wasm",
                                   "x86_64", "aarch64",  "x86-64", "armhf",  "armel",   "i386"};

template <size_t N>
bool contains(const std::array<const char*, N>& list, std::string_view word) {
  return std::find(list.begin(), list.end(), word) != list.end();
}

std::string default_platform() {
  const char* value = std::getenv("DOCKER_DEFAULT_PLATFORM");
  return value == nullptr ? std::string() : value;
}

std::string canonical_architecture(const std::string& name) {
  if (name == "x86_64" || name == "x86-64") return "amd64";
  if (name == "aarch64") return "arm64";
  if (name == "i386") return "386";
  if (name == "armhf" || name == "armel") return "arm";
  return name;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  return parts;
}

Failure bad(const std::string& text, std::string_view why) {
  return refuse("error parsing specified platform: \"{}\": {}: invalid argument", text, why);
}

}  // namespace

Outcome<void> check_platform(const std::string& text) {
  if (text.empty()) return {};
  auto parts = split(text);
  if (parts.size() > 3) return bad(text, "cannot parse platform specifier");
  for (const std::string& part : parts) {
    if (part.empty() ||
        part.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_.-") != std::string::npos) {
      return bad(text, "is an invalid component of platform specifier");
    }
  }
  if (parts.size() == 1 && !contains(operating_systems, parts[0]) && !contains(architectures, parts[0])) {
    return bad(text, "unknown operating system or architecture");
  }
  return {};
}

Outcome<std::string> platform_json(const std::string& text) {
  if (text.empty()) return std::string();
  CHECK(check_platform(text));
  auto parts = split(text);
  Json json;
  if (parts.size() == 1) {
    bool system = contains(operating_systems, parts[0]);
    json["os"] = system ? parts[0] : "linux";
    json["architecture"] = system ? "amd64" : canonical_architecture(parts[0]);
  } else {
    json["os"] = parts[0];
    json["architecture"] = canonical_architecture(parts[1]);
    if (parts.size() > 2) json["variant"] = parts[2];
  }
  return to_json(json);
}

std::string wanted_platform(const grammar::Invocation& invocation) {
  return invocation.given("platform") ? invocation.text("platform") : default_platform();
}

std::vector<std::string> wanted_platforms(const grammar::Invocation& invocation) {
  if (invocation.given("platform")) return invocation.list("platform");
  return {default_platform()};
}

}  // namespace berth::cli::commands
