// IAM's managed policies with their versions, kept as documents like roles.
#include <algorithm>

#include "api/aws/caller.h"
#include "api/aws/query_call.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "functions/catalog/catalog.h"

namespace berth::api::aws {
namespace {

constexpr std::string_view policy_kind = "iam-policy";
constexpr std::string_view role_kind = "iam-role";
constexpr size_t most_versions = 5;

std::string time_now() {
  return iso_milliseconds(to_unix_nanoseconds(now()));
}

AwsError no_policy(std::string_view arn) {
  return {404, "NoSuchEntity", fmt::format("Policy {} was not found.", arn.substr(0, 2048))};
}

AwsResult<Json> find_policy(QueryCall& call, const std::string& arn) {
  bool own = arn.starts_with(fmt::format("arn:aws:iam::{}:policy/", call.caller.realm.account));
  if (!own) return no_policy(arn);
  TRY(auto text, call.services.catalog.document(policy_kind, arn));
  if (!text) return no_policy(arn);
  TRY(Json policy, parse_json(*text));
  return policy;
}
AwsResult<Json> asked_policy(QueryCall& call) {
  return find_policy(call, call.field("PolicyArn"));
}

AwsResult<void> keep_policy(QueryCall& call, const Json& policy) {
  CHECK(call.services.catalog.put_document(
      {std::string(policy_kind), policy["Arn"].get<std::string>(), to_json(policy)}));
  return {};
}

/// The names and ids of the account's roles to which it is attached.
AwsResult<std::vector<std::pair<std::string, std::string>>> users_of(QueryCall& call,
                                                                     const std::string& arn) {
  TRY(auto documents, call.services.catalog.documents(role_kind));
  std::vector<std::pair<std::string, std::string>> users;
  for (const auto& document : documents) {
    if (!document.name.starts_with(call.caller.realm.account + "/")) continue;
    TRY(Json role, parse_json(document.text));
    if (role["Attached"].contains(arn))
      users.emplace_back(role.value("RoleName", ""), role.value("RoleId", ""));
  }
  return users;
}

AwsResult<std::string> policy_xml(QueryCall& call, const Json& policy) {
  TRY(auto users, users_of(call, policy["Arn"].get<std::string>()));
  std::string text;
  for (const char* name : {"PolicyName", "PolicyId", "Arn", "Path", "DefaultVersionId", "Description"})
    text += element(name, policy.value(name, ""));
  text += element("AttachmentCount", fmt::to_string(users.size())) +
          element("PermissionsBoundaryUsageCount", "0") + element("IsAttachable", "true");
  for (const char* name : {"CreateDate", "UpdateDate"}) text += element(name, policy.value(name, ""));
  if (!policy["Tags"].empty()) text += tags_xml(policy["Tags"]);
  return text;
}

std::string version_xml(const Json& policy, const std::string& id, const Json& version, bool with_document) {
  std::string text = with_document ? element("Document", version.value("Document", "")) : std::string();
  return text + element("VersionId", id) +
         element("IsDefaultVersion", policy.value("DefaultVersionId", "") == id ? "true" : "false") +
         element("CreateDate", version.value("CreateDate", ""));
}

AwsResult<Json> read_document(QueryCall& call) {
  std::string document = call.field("PolicyDocument");
  auto parsed = parse_json(document);
  if (!parsed || !parsed->is_object() || !parsed->contains("Statement"))
    return AwsError{400, "MalformedPolicyDocument", "Syntax errors in policy."};
  return Json{{"Document", encoded_document(document)}, {"CreateDate", time_now()}};
}

bool is_policy_name(std::string_view name) {
  return !name.empty() && name.size() <= 128 && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("+=,.@_-").find(c) != std::string_view::npos;
  });
}

AwsResult<Reply> create_policy(QueryCall& call) {
  std::string name = call.field("PolicyName");
  if (!is_policy_name(name)) {
    return AwsError{400, "ValidationError",
                    "The specified value for policyName is invalid. It must contain only alphanumeric "
                    "characters and/or the following: +=,.@_-"};
  }
  std::string path = call.field("Path").empty() ? "/" : call.field("Path");
  std::string arn = fmt::format("arn:aws:iam::{}:policy{}{}", call.caller.realm.account, path, name);
  if (find_policy(call, arn)) {
    return AwsError{409, "EntityAlreadyExists",
                    fmt::format("A policy called {} already exists. Duplicate names are not allowed.", name)};
  }
  TRY(Json version, read_document(call));
  Json policy{{"PolicyName", name},
              {"PolicyId", "ANPA" + sha256(arn).hex().substr(0, 17)},
              {"Arn", arn},
              {"Path", path},
              {"DefaultVersionId", "v1"},
              {"Description", call.field("Description")},
              {"CreateDate", time_now()},
              {"UpdateDate", time_now()},
              {"Versions", {{"v1", version}}},
              {"Newest", 1},
              {"Tags", call.tags()}};
  CHECK(keep_policy(call, policy));
  TRY(std::string shown, policy_xml(call, policy));
  return call.iam(fmt::format("<Policy>{}</Policy>", shown));
}

AwsResult<Reply> get_policy(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  TRY(std::string shown, policy_xml(call, policy));
  return call.iam(fmt::format("<Policy>{}</Policy>", shown));
}

AwsResult<Reply> list_policies(QueryCall& call) {
  TRY(auto documents, call.services.catalog.documents(policy_kind));
  std::string start = fmt::format("arn:aws:iam::{}:policy/", call.caller.realm.account);
  std::string members;
  for (const auto& document : documents) {
    if (!document.name.starts_with(start) || call.field("Scope") == "AWS") continue;
    TRY(Json policy, parse_json(document.text));
    TRY(std::string shown, policy_xml(call, policy));
    members += fmt::format("<member>{}</member>", shown);
  }
  return call.iam(list_xml("Policies", members));
}

AwsResult<Reply> delete_policy(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  std::string arn = call.field("PolicyArn");
  TRY(auto users, users_of(call, arn));
  if (!users.empty()) return AwsError{409, "DeleteConflict", "Cannot delete a policy attached to entities."};
  if (policy["Versions"].size() > 1) {
    return AwsError{409, "DeleteConflict",
                    "This policy has more than one version. Before you delete a policy, you must delete the "
                    "policy's versions. The default version is deleted with the policy."};
  }
  CHECK(call.services.catalog.remove_document(policy_kind, arn));
  return call.iam("");
}

AwsResult<Reply> create_version(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  TRY(Json version, read_document(call));
  if (policy["Versions"].size() >= most_versions) {
    return AwsError{409, "LimitExceeded",
                    "A managed policy can have up to 5 versions. Before you create a new version, you must "
                    "delete an existing version."};
  }
  int newest = policy["Newest"].get<int>() + 1;
  std::string id = fmt::format("v{}", newest);
  policy["Newest"] = newest;
  policy["Versions"][id] = version;
  if (call.field("SetAsDefault") == "true") policy["DefaultVersionId"] = id;
  policy["UpdateDate"] = time_now();
  CHECK(keep_policy(call, policy));
  return call.iam(fmt::format("<PolicyVersion>{}</PolicyVersion>", version_xml(policy, id, version, false)));
}

struct Version {
  Json policy;
  std::string id;
};
AwsResult<Version> asked_version(QueryCall& call) {
  Version asked{.policy = {}, .id = call.field("VersionId")};
  TRY(asked.policy, asked_policy(call));
  if (asked.policy["Versions"].contains(asked.id)) return asked;
  return AwsError{404, "NoSuchEntity",
                  fmt::format("Policy {} version {} does not exist or is not attachable.",
                              call.field("PolicyArn"), asked.id.substr(0, 64))};
}

AwsResult<Reply> get_version(QueryCall& call) {
  TRY(Version asked, asked_version(call));
  std::string shown = version_xml(asked.policy, asked.id, asked.policy["Versions"][asked.id], true);
  return call.iam(fmt::format("<PolicyVersion>{}</PolicyVersion>", shown));
}

AwsResult<Reply> list_versions(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  std::string members;
  for (const auto& [id, version] : policy["Versions"].items())
    members = fmt::format("<member>{}</member>", version_xml(policy, id, version, false)) + members;
  return call.iam(list_xml("Versions", members));
}

AwsResult<Reply> delete_version(QueryCall& call) {
  TRY(Version asked, asked_version(call));
  if (asked.policy["DefaultVersionId"] == asked.id)
    return AwsError{409, "DeleteConflict", "Cannot delete the default version of a policy."};
  asked.policy["Versions"].erase(asked.id);
  CHECK(keep_policy(call, asked.policy));
  return call.iam("");
}

AwsResult<Reply> set_default_version(QueryCall& call) {
  TRY(Version asked, asked_version(call));
  asked.policy["DefaultVersionId"] = asked.id;
  asked.policy["UpdateDate"] = time_now();
  CHECK(keep_policy(call, asked.policy));
  return call.iam("");
}

AwsResult<Reply> list_entities(QueryCall& call) {
  TRY([[maybe_unused]] Json policy, asked_policy(call));
  TRY(auto users, users_of(call, call.field("PolicyArn")));
  std::string members;
  for (const auto& [name, id] : users)
    members += fmt::format("<member>{}{}</member>", element("RoleName", name), element("RoleId", id));
  return call.iam("<PolicyGroups></PolicyGroups><PolicyUsers></PolicyUsers>" +
                  list_xml("PolicyRoles", members));
}

AwsResult<Reply> tag_policy(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  for (const auto& [key, value] : call.tags()) policy["Tags"][key] = value;
  CHECK(keep_policy(call, policy));
  return call.iam("");
}

AwsResult<Reply> untag_policy(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  for (const std::string& key : call.list("TagKeys")) policy["Tags"].erase(key);
  CHECK(keep_policy(call, policy));
  return call.iam("");
}

AwsResult<Reply> list_policy_tags(QueryCall& call) {
  TRY(Json policy, asked_policy(call));
  return call.iam(tags_xml(policy["Tags"]) + "<IsTruncated>false</IsTruncated>");
}

constexpr QueryAction actions[] = {
    {"CreatePolicy", create_policy},
    {"GetPolicy", get_policy},
    {"ListPolicies", list_policies},
    {"DeletePolicy", delete_policy},
    {"CreatePolicyVersion", create_version},
    {"GetPolicyVersion", get_version},
    {"ListPolicyVersions", list_versions},
    {"DeletePolicyVersion", delete_version},
    {"SetDefaultPolicyVersion", set_default_version},
    {"ListEntitiesForPolicy", list_entities},
    {"TagPolicy", tag_policy},
    {"UntagPolicy", untag_policy},
    {"ListPolicyTags", list_policy_tags},
};

}  // namespace

std::span<const QueryAction> policy_actions() {
  return actions;
}

}  // namespace berth::api::aws
