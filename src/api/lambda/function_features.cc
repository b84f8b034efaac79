// Members for what AWS has around functions and berth has not: networks, keys, file systems and snapshots are
// checked, kept and shown; capacity providers, runtimes of one's own and accelerators are refused, since a
// function without them would be another one than was asked for.
#include <algorithm>

#include "api/lambda/function_json.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionVersion;

constexpr size_t most_subnets = 16, most_groups = 5, longest_path = 160;

AwsError violated(std::string_view value, std::string_view name, std::string_view constraint) {
  return aws::validation_exception(
      functions::validation_error(value.substr(0, 256), name, constraint).message());
}

AwsResult<void> check_ids(const Json& config, const char* name, std::string_view shown,
                          std::string_view prefix, size_t most) {
  TRY(auto ids, texts_member(config, name));
  if (!ids) return {};
  if (ids->size() > most) {
    return violated(fmt::format("[{}]", fmt::join(*ids, ", ")), shown,
                    fmt::format("Member must have length less than or equal to {}", most));
  }
  for (const std::string& id : *ids) {
    if (id.starts_with(prefix)) continue;
    return violated(
        fmt::format("[{}]", id), shown,
        fmt::format("Member must satisfy constraint: [Member must have length less than or equal to "
                    "1024, Member must have length greater than or equal to 0, Member must satisfy "
                    "regular expression pattern: {}[0-9a-z{}]*]",
                    prefix, prefix == "sg-" ? "A-Z" : ""));
  }
  return {};
}

AwsResult<void> apply_network(const Json& request, FunctionVersion& version) {
  TRY(const Json* config, object_member(request, "VpcConfig"));
  if (config == nullptr) return {};
  CHECK(check_ids(*config, "SubnetIds", "vpcConfig.subnetIds", "subnet-", most_subnets));
  CHECK(check_ids(*config, "SecurityGroupIds", "vpcConfig.securityGroupIds", "sg-", most_groups));
  CHECK(flag_member(*config, "Ipv6AllowedForDualStack"));
  version.kept_members["VpcConfig"] = to_json(*config);
  return {};
}

AwsResult<void> apply_key(const Json& request, FunctionVersion& version) {
  TRY(auto key, text_member(request, "KMSKeyArn"));
  if (!key) return {};
  if (key->empty()) {
    version.kept_members.erase("KMSKeyArn");
    return {};
  }
  if (!key->starts_with("arn:") || key->size() > 10'000) {
    return violated(*key, "kMSKeyArn",
                    "Member must satisfy regular expression pattern: "
                    "(arn:(aws[a-zA-Z-]*)?:[a-z0-9-.]+:.*)|()");
  }
  version.kept_members["KMSKeyArn"] = to_json(Json(*key));
  return {};
}

AwsResult<void> check_file_system(const Json& system) {
  if (!system.is_object())
    return AwsError{400, "SerializationException", "FileSystemConfigs must be a list of objects"};
  TRY(auto arn, text_member(system, "Arn"));
  TRY(auto path, text_member(system, "LocalMountPath"));
  if (!arn || !arn->starts_with("arn:aws") || arn->size() > 256) {
    return violated(arn.value_or("null"), "fileSystemConfigs.1.member.arn",
                    "Member must be the ARN of an access point");
  }
  if (!path || !path->starts_with("/mnt/") || path->size() == 5 || path->size() > longest_path) {
    return violated(path.value_or("null"), "fileSystemConfigs.1.member.localMountPath",
                    "Member must satisfy regular expression pattern: /mnt/[a-zA-Z0-9-_.]+");
  }
  return {};
}

AwsResult<void> apply_file_systems(const Json& request, FunctionVersion& version) {
  const Json* systems = member(request, "FileSystemConfigs");
  if (systems == nullptr) return {};
  if (!systems->is_array())
    return AwsError{400, "SerializationException", "FileSystemConfigs must be a list of objects"};
  if (systems->size() > 1) {
    return violated(fmt::format("{} items", systems->size()), "fileSystemConfigs",
                    "Member must have length less than or equal to 1");
  }
  for (const Json& system : *systems) CHECK(check_file_system(system));
  version.kept_members["FileSystemConfigs"] = to_json(*systems);
  return {};
}

bool has_snap_start(const FunctionVersion& version) {
  auto kept = version.kept_members.find("SnapStart");
  return kept != version.kept_members.end() && kept->second.find("PublishedVersions") != std::string::npos;
}

AwsResult<void> apply_snap_start(const Json& request, FunctionVersion& version) {
  TRY(const Json* config, object_member(request, "SnapStart"));
  if (config == nullptr) return {};
  TRY(auto when, text_member(*config, "ApplyOn"));
  CHECK(check_enum(when.value_or("None"), "snapStart.applyOn", {"PublishedVersions", "None"}));
  version.kept_members["SnapStart"] = to_json(Json{{"ApplyOn", when.value_or("None")}});
  if (functions::is_per_tenant(version) && has_snap_start(version))
    return aws::invalid_parameter("SnapStart is not supported for functions with TenancyConfig.");
  return {};
}

AwsResult<void> refuse_missing_features(const Json& request) {
  struct Missing {
    const char* member;
    std::string_view why;
  };
  constexpr Missing missing[] = {
      {"CapacityProviderConfig",
       "there are no capacity providers: leave it out, functions have no time limit here"},
      {"RuntimeConfig",
       "there are no customer-managed runtimes: name a Runtime, and tag an image of your own as "
       "berth/lambda-<runtime> to have it run on that"},
      {"AcceleratorConfig", "sandboxes have no accelerators: leave it out"}};
  for (const Missing& each : missing) {
    if (member(request, each.member) != nullptr)
      return aws::invalid_parameter(fmt::format("{} is not supported here: {}.", each.member, each.why));
  }
  return {};
}

}  // namespace

AwsResult<void> apply_features(const Json& request, FunctionVersion& version) {
  CHECK(refuse_missing_features(request));
  CHECK(apply_network(request, version));
  CHECK(apply_key(request, version));
  CHECK(apply_file_systems(request, version));
  return apply_snap_start(request, version);
}

AwsResult<void> apply_tenancy(const Json& request, FunctionVersion& version) {
  TRY(const Json* config, object_member(request, "TenancyConfig"));
  if (config == nullptr) return {};
  TRY(auto mode, text_member(*config, "TenantIsolationMode"));
  CHECK(check_enum(mode.value_or("null"), "tenancyConfig.tenantIsolationMode", {"PER_TENANT"}));
  for (const char* other : {"DurableConfig", "SnapStart"}) {
    bool given = other == std::string_view("SnapStart") ? has_snap_start(version)
                                                        : version.kept_members.contains(other);
    if (given) return aws::invalid_parameter(fmt::format("TenancyConfig is not supported with {}.", other));
  }
  version.kept_members["TenancyConfig"] = to_json(Json{{"TenantIsolationMode", *mode}});
  return {};
}

AwsResult<void> refuse_publish_to(const Json& request) {
  TRY(auto where, text_member(request, "PublishTo"));
  if (!where) return {};
  CHECK(check_enum(*where, "publishTo", {"LATEST_PUBLISHED"}));
  return aws::invalid_parameter(
      "PublishTo LATEST_PUBLISHED is for functions of capacity providers, which are not supported here: use "
      "Publish, and an alias for the newest version.");
}

}  // namespace berth::api::lambda
