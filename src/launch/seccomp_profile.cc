// Seccomp profiles as JSON: docker's form and the plain OCI form.
#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "launch/defaults.h"

namespace berth::launch {
namespace {

constexpr size_t kMaxProfile = 1u << 20;
constexpr std::string_view kFailed = "Decoding seccomp profile failed: ";

Error invalid(std::string_view what) {
  return failure(Kind::InvalidArgument, "{}{}", kFailed, what);
}

std::string go_architecture(const HostFacts& host) {
  return host.architecture == Architecture::Aarch64 ? "arm64" : "amd64";
}

std::string native_architecture(const HostFacts& host) {
  return host.architecture == Architecture::Aarch64 ? "SCMP_ARCH_AARCH64" : "SCMP_ARCH_X86_64";
}

/// "4.8"
Result<KernelVersion> parse_min_kernel(const std::string& text) {
  KernelVersion version;
  size_t dot = text.find('.');
  auto digits = [](std::string_view part) {
    return !part.empty() && part.size() < 4 &&
           std::ranges::all_of(part, [](char c) { return c >= '0' && c <= '9'; });
  };
  if (dot == std::string::npos || !digits(text.substr(0, dot)) || !digits(text.substr(dot + 1)))
    return invalid(fmt::format("invalid kernel version: \"{}\", expected \"<kernel>.<major>\"", text));
  version.major = std::stoi(text.substr(0, dot));
  version.minor = std::stoi(text.substr(dot + 1));
  return version;
}

struct Condition {
  std::vector<std::string> capabilities;
  std::vector<std::string> architectures;
  std::optional<KernelVersion> kernel;
};

Result<Condition> parse_condition(const Json& rule, const char* key) {
  Condition condition;
  auto found = rule.find(key);
  if (found == rule.end() || found->is_null()) return condition;
  if (!found->is_object()) return invalid(fmt::format("\"{}\" must be an object", key));
  TRY(condition.capabilities, json_strings(*found, "caps"));
  TRY(condition.architectures, json_strings(*found, "arches"));
  TRY(std::string kernel, json_string(*found, "minKernel"));
  if (!kernel.empty()) {
    TRY(condition.kernel, parse_min_kernel(kernel));
  }
  return condition;
}

class ProfileReader {
 public:
  ProfileReader(std::span<const std::string> capabilities, const HostFacts& host)
      : capabilities_(capabilities), host_(host) {}

  Result<spec::Seccomp> read(const Json& document) {
    if (!document.is_object()) return invalid("not an object");
    spec::Seccomp profile;
    TRY(profile.default_action, json_string(document, "defaultAction"));
    CHECK(read_errno(document, "defaultErrnoRet", profile.default_errno_ret));
    TRY(profile.architectures, json_strings(document, "architectures"));
    TRY(profile.flags, json_strings(document, "flags"));
    // listenerPath is for OCI runtimes: an engine asks no agents.
    CHECK(read_arch_map(document, profile));
    auto rules = document.find("syscalls");
    if (rules != document.end() && !rules->is_null()) {
      if (!rules->is_array()) return invalid("\"syscalls\" must be an array");
      for (const auto& rule : *rules) CHECK(read_rule(rule, profile));
    }
    if (profile.default_action.empty()) return invalid("no defaultAction");
    return profile;
  }

 private:
  Result<void> read_errno(const Json& object, const char* key, std::optional<uint32_t>& value) {
    auto found = object.find(key);
    if (found == object.end() || found->is_null()) return {};
    if (!found->is_number_unsigned() || found->get<uint64_t>() > 4095)
      return invalid(fmt::format("\"{}\" must be an error number", key));
    value = found->get<uint32_t>();
    return {};
  }

  Result<void> read_arch_map(const Json& document, spec::Seccomp& profile) {
    auto map = document.find("archMap");
    if (map == document.end() || map->is_null() || map->empty()) return {};
    if (!profile.architectures.empty())
      return invalid(
          "both 'architectures' and 'archMap' are specified in the seccomp profile, use either "
          "'architectures' or 'archMap'");
    if (!map->is_array()) return invalid("\"archMap\" must be an array");
    for (const auto& entry : *map) {
      if (!entry.is_object()) return invalid("\"archMap\" must hold objects");
      TRY(std::string architecture, json_string(entry, "architecture"));
      if (architecture != native_architecture(host_)) continue;
      profile.architectures.push_back(architecture);
      TRY(auto others, json_strings(entry, "subArchitectures"));
      profile.architectures.insert(profile.architectures.end(), others.begin(), others.end());
      break;
    }
    return {};
  }

  bool holds(const std::string& capability) const {
    return std::ranges::find(capabilities_, capability) != capabilities_.end();
  }
  bool here(const std::vector<std::string>& architectures) const {
    return std::ranges::find(architectures, go_architecture(host_)) != architectures.end();
  }

  bool applies(const Condition& includes, const Condition& excludes) const {
    if (here(excludes.architectures)) return false;
    if (std::ranges::any_of(excludes.capabilities, [&](const auto& name) { return holds(name); }))
      return false;
    if (excludes.kernel && host_.kernel >= *excludes.kernel) return false;
    if (!includes.architectures.empty() && !here(includes.architectures)) return false;
    if (!std::ranges::all_of(includes.capabilities, [&](const auto& name) { return holds(name); }))
      return false;
    return !includes.kernel || host_.kernel >= *includes.kernel;
  }

  Result<void> read_rule(const Json& source, spec::Seccomp& profile) {
    if (!source.is_object()) return invalid("\"syscalls\" must hold objects");
    spec::SeccompRule rule;
    TRY(std::string name, json_string(source, "name"));
    TRY(rule.names, json_strings(source, "names"));
    if (!name.empty() && !rule.names.empty())
      return invalid(
          "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'");
    if (!name.empty()) rule.names.push_back(name);
    TRY(rule.action, json_string(source, "action"));
    CHECK(read_errno(source, "errnoRet", rule.errno_ret));
    CHECK(read_arguments(source, rule));
    TRY(auto includes, parse_condition(source, "includes"));
    TRY(auto excludes, parse_condition(source, "excludes"));
    if (applies(includes, excludes)) profile.syscalls.push_back(std::move(rule));
    return {};
  }

  Result<void> read_arguments(const Json& source, spec::SeccompRule& rule) {
    auto arguments = source.find("args");
    if (arguments == source.end() || arguments->is_null()) return {};
    if (!arguments->is_array()) return invalid("\"args\" must be an array");
    for (const auto& each : *arguments) {
      if (!each.is_object()) return invalid("\"args\" must hold objects");
      spec::SeccompArg argument;
      TRY(argument.op, json_string(each, "op"));
      CHECK(read_number(each, "value", argument.value));
      CHECK(read_number(each, "valueTwo", argument.value_two));
      uint64_t index = 0;
      CHECK(read_number(each, "index", index));
      argument.index = static_cast<uint32_t>(std::min<uint64_t>(index, 1000));
      rule.args.push_back(std::move(argument));
    }
    return {};
  }

  Result<void> read_number(const Json& object, const char* key, uint64_t& value) {
    auto found = object.find(key);
    if (found == object.end() || found->is_null()) return {};
    if (!found->is_number_unsigned()) return invalid(fmt::format("\"{}\" must be a number", key));
    value = found->get<uint64_t>();
    return {};
  }

  std::span<const std::string> capabilities_;
  const HostFacts& host_;
};

}  // namespace

Result<spec::Seccomp> parse_seccomp_profile(std::string_view json, std::span<const std::string> capabilities,
                                            const HostFacts& host) {
  auto document = parse_json(json, {.max_bytes = kMaxProfile, .max_depth = 16});
  if (!document) return invalid(document.error().message());
  auto profile = ProfileReader(capabilities, host).read(*document);
  if (!profile && !profile.error().message().starts_with(kFailed)) return invalid(profile.error().message());
  return profile;
}

}  // namespace berth::launch
