#include "functions/model.h"

#include <algorithm>
#include <cctype>

#include "base/format.h"

namespace berth::functions {
namespace {

constexpr size_t longest_tenant = 256;

}  // namespace

std::string function_arn(const Realm& realm, const std::string& name) {
  return fmt::format("arn:aws:lambda:{}:{}:function:{}", realm.region, realm.account, name);
}

std::string qualified_arn(const FunctionVersion& version) {
  return fmt::format("{}:{}", function_arn(version.realm, version.name), version.version);
}

bool is_per_tenant(const FunctionVersion& version) {
  return version.kept_members.contains("TenancyConfig");
}

Result<void> check_tenant(const FunctionVersion& version, std::string_view tenant) {
  bool apart = is_per_tenant(version);
  if (apart && tenant.empty())
    return Error(Kind::InvalidArgument, "Add a valid tenant ID in your request and try again.");
  if (!apart && !tenant.empty()) {
    return failure(Kind::InvalidArgument,
                   "The function {} was made without TenancyConfig: leave the tenant ID out of the request.",
                   version.name);
  }
  auto known = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._:/=+-@ ").find(c) != std::string_view::npos;
  };
  if (tenant.size() <= longest_tenant && std::all_of(tenant.begin(), tenant.end(), known)) return {};
  return failure(Kind::InvalidArgument,
                 "A tenant ID has at most {} letters, digits and characters of \"._:/=+-@ \".",
                 longest_tenant);
}

}  // namespace berth::functions
