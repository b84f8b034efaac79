// Seccomp profiles as users write them: docker's JSON with its conditions, or the OCI form.
#include <algorithm>
#include <cstdio>

#include "base/format.h"
#include "base/json.h"
#include "launch/defaults.h"

namespace berth::launch {
namespace {

constexpr size_t most_rules = 4096;

struct Conditions {
  std::vector<std::string> caps;
  std::vector<std::string> arches;
  std::optional<KernelVersion> min_kernel;
  bool empty() const { return caps.empty() && arches.empty() && !min_kernel; }
};

std::string_view architecture_name(const HostFacts& host) {
  return host.architecture == Architecture::X86_64 ? "amd64" : "arm64";
}
std::string_view native_architecture(const HostFacts& host) {
  return host.architecture == Architecture::X86_64 ? "SCMP_ARCH_X86_64" : "SCMP_ARCH_AARCH64";
}

Result<Conditions> parse_conditions(const Json& rule, std::string_view key) {
  Conditions conditions;
  auto found = rule.find(key);
  if (found == rule.end() || found->is_null()) return conditions;
  if (!found->is_object())
    return failure(Kind::InvalidArgument, "seccomp profile: \"{}\" must be an object", key);
  TRY(conditions.caps, json_strings(*found, "caps"));
  TRY(conditions.arches, json_strings(*found, "arches"));
  TRY(std::string kernel, json_string(*found, "minKernel"));
  if (!kernel.empty()) {
    KernelVersion version;
    if (std::sscanf(kernel.c_str(), "%d.%d", &version.major, &version.minor) != 2) {
      return failure(Kind::InvalidArgument, "seccomp profile: minKernel \"{}\" must look like 5.4",
                     kernel.substr(0, 32));
    }
    conditions.min_kernel = version;
  }
  return conditions;
}

bool contains(std::span<const std::string> list, std::string_view value) {
  return std::find(list.begin(), list.end(), value) != list.end();
}

/// docker's filters: all of `includes` must hold, none of `excludes`.
bool applies(const Conditions& includes, const Conditions& excludes,
             std::span<const std::string> capabilities, const HostFacts& host) {
  std::string_view architecture = architecture_name(host);
  if (!excludes.arches.empty() && contains(excludes.arches, architecture)) return false;
  for (const std::string& capability : excludes.caps) {
    if (contains(capabilities, capability)) return false;
  }
  if (excludes.min_kernel && host.kernel >= *excludes.min_kernel) return false;
  if (!includes.arches.empty() && !contains(includes.arches, architecture)) return false;
  for (const std::string& capability : includes.caps) {
    if (!contains(capabilities, capability)) return false;
  }
  return !includes.min_kernel || host.kernel >= *includes.min_kernel;
}

Result<uint64_t> unsigned_field(const Json& object, std::string_view key) {
  auto found = object.find(key);
  if (found == object.end() || found->is_null()) return uint64_t{0};
  if (!found->is_number_integer() || (!found->is_number_unsigned() && found->get<int64_t>() < 0)) {
    return failure(Kind::InvalidArgument, "seccomp profile: \"{}\" must be a number that is not negative",
                   key);
  }
  return found->get<uint64_t>();
}

Result<std::optional<uint32_t>> errno_field(const Json& object, std::string_view key) {
  if (!object.contains(key) || object.at(key).is_null()) return std::optional<uint32_t>();
  TRY(uint64_t value, unsigned_field(object, key));
  if (value > 4095) return failure(Kind::InvalidArgument, "seccomp profile: \"{}\" must be an errno", key);
  return std::optional<uint32_t>(static_cast<uint32_t>(value));
}

Result<std::vector<spec::SeccompArg>> parse_arguments(const Json& rule) {
  std::vector<spec::SeccompArg> arguments;
  auto list = rule.find("args");
  if (list == rule.end() || list->is_null()) return arguments;
  if (!list->is_array() || list->size() > 64)
    return Error(Kind::InvalidArgument, "seccomp profile: \"args\" must be a list");
  for (const Json& entry : *list) {
    if (!entry.is_object())
      return Error(Kind::InvalidArgument, "seccomp profile: \"args\" must be a list of objects");
    spec::SeccompArg argument;
    TRY(uint64_t index, unsigned_field(entry, "index"));
    if (index > 5) return Error(Kind::InvalidArgument, "seccomp profile: an argument's index is 0 to 5");
    argument.index = static_cast<uint32_t>(index);
    TRY(argument.value, unsigned_field(entry, "value"));
    TRY(argument.value_two, unsigned_field(entry, "valueTwo"));
    TRY(argument.op, json_string(entry, "op"));
    arguments.push_back(std::move(argument));
  }
  return arguments;
}

Result<spec::SeccompRule> parse_rule(const Json& object) {
  spec::SeccompRule rule;
  TRY(rule.names, json_strings(object, "names"));
  TRY(std::string name, json_string(object, "name"));  // the form before docker 1.13
  if (!name.empty()) rule.names.push_back(std::move(name));
  if (rule.names.empty()) return Error(Kind::InvalidArgument, "seccomp profile: a rule without names");
  TRY(rule.action, json_string(object, "action"));
  TRY(rule.errno_ret, errno_field(object, "errnoRet"));
  TRY(rule.args, parse_arguments(object));
  return rule;
}

/// archMap names an architecture and what runs beside it; "architectures" lists them outright.
Result<std::vector<std::string>> parse_architectures(const Json& profile, const HostFacts& host) {
  TRY(auto listed, json_strings(profile, "architectures"));
  auto map = profile.find("archMap");
  if (map == profile.end() || !map->is_array()) return listed;
  if (!listed.empty())
    return Error(Kind::InvalidArgument,
                 "'architectures' and 'archMap' were specified in the seccomp profile, use either "
                 "'architectures' or 'archMap'");
  for (const Json& entry : *map) {
    TRY(std::string architecture, json_string(entry, "architecture"));
    if (architecture != native_architecture(host)) continue;
    TRY(auto beside, json_strings(entry, "subArchitectures"));
    listed.push_back(std::move(architecture));
    listed.insert(listed.end(), beside.begin(), beside.end());
  }
  return listed;
}

}  // namespace

Result<spec::Seccomp> parse_seccomp_profile(std::string_view json, std::span<const std::string> capabilities,
                                            const HostFacts& host) {
  auto parsed = parse_json(json);
  if (!parsed) return std::move(parsed).error().in("Decoding seccomp profile failed");
  const Json& profile = *parsed;
  if (!profile.is_object()) return Error(Kind::InvalidArgument, "seccomp profile: must be a JSON object");
  spec::Seccomp seccomp;
  TRY(seccomp.default_action, json_string(profile, "defaultAction"));
  if (seccomp.default_action.empty())
    return Error(Kind::InvalidArgument, "seccomp profile: \"defaultAction\" is missing");
  TRY(seccomp.default_errno_ret, errno_field(profile, "defaultErrnoRet"));
  TRY(seccomp.architectures, parse_architectures(profile, host));
  TRY(seccomp.flags, json_strings(profile, "flags"));
  TRY(seccomp.listener_path, json_string(profile, "listenerPath"));
  TRY(seccomp.listener_metadata, json_string(profile, "listenerMetadata"));
  auto rules = profile.find("syscalls");
  if (rules == profile.end() || rules->is_null()) return seccomp;
  if (!rules->is_array() || rules->size() > most_rules) {
    return Error(Kind::InvalidArgument, "seccomp profile: \"syscalls\" must be a list of at most 4096 rules");
  }
  for (const Json& object : *rules) {
    if (!object.is_object())
      return Error(Kind::InvalidArgument, "seccomp profile: \"syscalls\" must be a list of objects");
    TRY(Conditions includes, parse_conditions(object, "includes"));
    TRY(Conditions excludes, parse_conditions(object, "excludes"));
    if (!applies(includes, excludes, capabilities, host)) continue;
    TRY(spec::SeccompRule rule, parse_rule(object));
    seccomp.syscalls.push_back(std::move(rule));
  }
  return seccomp;
}

}  // namespace berth::launch
