// IAM's roles, kept as documents, so that tools find what they made. Nothing is checked against them.
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

constexpr std::string_view role_kind = "iam-role";

std::string role_arn(const QueryCall& call, const std::string& path, const std::string& name) {
  return fmt::format("arn:aws:iam::{}:role{}{}", call.caller.realm.account, path, name);
}

AwsResult<Json> find_role(QueryCall& call) {
  std::string name = call.field("RoleName");
  std::string key = call.caller.realm.account + "/" + name;
  TRY(auto text, call.services.catalog.document(role_kind, key));
  if (!text) {
    return AwsError{404, "NoSuchEntity", fmt::format("The role with name {} cannot be found.", name)};
  }
  TRY(Json role, parse_json(*text));
  return role;
}

AwsResult<void> keep_role(QueryCall& call, const Json& role) {
  std::string key = call.caller.realm.account + "/" + role["RoleName"].get<std::string>();
  CHECK(call.services.catalog.put_document({std::string(role_kind), key, to_json(role)}));
  return {};
}

std::string role_xml(const Json& role) {
  std::string text;
  for (const char* name : {"Path", "RoleName", "RoleId", "Arn", "CreateDate", "Description"}) {
    text += element(name, role.value(name, ""));
  }
  text += element("AssumeRolePolicyDocument", role.value("AssumeRolePolicyDocument", ""));
  text += element("MaxSessionDuration", role.value("MaxSessionDuration", "3600"));
  if (const Json tags = role.value("Tags", Json::object()); !tags.empty()) text += tags_xml(tags);
  return text;
}

bool is_role_name(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("+=,.@_-").find(c) != std::string_view::npos;
  });
}

AwsResult<Reply> create_role(QueryCall& call) {
  std::string name = call.field("RoleName");
  if (!is_role_name(name)) {
    return AwsError{
        400, "ValidationError",
        "The specified value for roleName is invalid. It must contain only alphanumeric characters and/or "
        "the following: +=,.@_-"};
  }
  if (find_role(call)) {
    return AwsError{409, "EntityAlreadyExists", fmt::format("Role with name {} already exists.", name)};
  }
  std::string path = call.field("Path").empty() ? "/" : call.field("Path");
  std::string duration = call.field("MaxSessionDuration");
  Json role{{"RoleName", name},
            {"Path", path},
            {"RoleId", "AROA" + sha256(call.caller.realm.account + name).hex().substr(0, 17)},
            {"Arn", role_arn(call, path, name)},
            {"CreateDate", iso_milliseconds(to_unix_nanoseconds(now()))},
            {"Description", call.field("Description")},
            {"MaxSessionDuration", duration.empty() ? "3600" : duration},
            {"AssumeRolePolicyDocument", encoded_document(call.field("AssumeRolePolicyDocument"))},
            {"Attached", Json::object()},
            {"Inline", Json::object()},
            {"Tags", call.tags()}};
  CHECK(keep_role(call, role));
  return call.iam(fmt::format("<Role>{}</Role>", role_xml(role)));
}

AwsResult<Reply> get_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  return call.iam(fmt::format("<Role>{}</Role>", role_xml(role)));
}

AwsResult<Reply> list_roles(QueryCall& call) {
  TRY(auto documents, call.services.catalog.documents(role_kind));
  std::string members;
  for (const auto& document : documents) {
    if (!document.name.starts_with(call.caller.realm.account + "/")) continue;
    TRY(Json role, parse_json(document.text));
    members += fmt::format("<member>{}</member>", role_xml(role));
  }
  return call.iam(fmt::format("<Roles>{}</Roles><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> delete_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  if (!role["Attached"].empty() || !role["Inline"].empty()) {
    return AwsError{409, "DeleteConflict", "Cannot delete entity, must detach all policies first."};
  }
  CHECK(call.services.catalog.remove_document(role_kind,
                                              call.caller.realm.account + "/" + call.field("RoleName")));
  return call.iam("");
}

AwsResult<Reply> update_assume_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["AssumeRolePolicyDocument"] = encoded_document(call.field("PolicyDocument"));
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> attach_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string arn = call.field("PolicyArn");
  role["Attached"][arn] = arn.substr(arn.rfind('/') + 1);
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> detach_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  if (role["Attached"].erase(call.field("PolicyArn")) == 0) {
    return AwsError{404, "NoSuchEntity", fmt::format("Policy {} was not found.", call.field("PolicyArn"))};
  }
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> list_attached(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string members;
  for (const auto& [arn, name] : role["Attached"].items()) {
    members += fmt::format("<member>{}{}</member>", element("PolicyName", name.get<std::string>()),
                           element("PolicyArn", arn));
  }
  return call.iam(
      fmt::format("<AttachedPolicies>{}</AttachedPolicies><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> put_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["Inline"][call.field("PolicyName")] = encoded_document(call.field("PolicyDocument"));
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> get_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string name = call.field("PolicyName");
  if (!role["Inline"].contains(name)) {
    return AwsError{404, "NoSuchEntity", fmt::format("The role policy with name {} cannot be found.", name)};
  }
  return call.iam(element("RoleName", call.field("RoleName")) + element("PolicyName", name) +
                  element("PolicyDocument", role["Inline"][name].get<std::string>()));
}

AwsResult<Reply> delete_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["Inline"].erase(call.field("PolicyName"));
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> list_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string members;
  for (const auto& [name, document] : role["Inline"].items()) members += element("member", name);
  return call.iam(fmt::format("<PolicyNames>{}</PolicyNames><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> tag_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  for (const auto& [key, value] : call.tags()) role["Tags"][key] = value;
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> untag_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  for (const std::string& key : call.list("TagKeys")) {
    if (role.contains("Tags")) role["Tags"].erase(key);
  }
  CHECK(keep_role(call, role));
  return call.iam("");
}

AwsResult<Reply> list_role_tags(QueryCall& call) {
  TRY(Json role, find_role(call));
  return call.iam(tags_xml(role.value("Tags", Json::object())) + "<IsTruncated>false</IsTruncated>");
}

AwsResult<Reply> update_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  for (const char* member : {"Description", "MaxSessionDuration"}) {
    if (call.has(member)) role[member] = call.field(member);
  }
  CHECK(keep_role(call, role));
  return call.iam_empty_result();
}

AwsResult<Reply> no_profiles(QueryCall& call) {
  TRY([[maybe_unused]] Json role, find_role(call));
  return call.iam("<InstanceProfiles></InstanceProfiles><IsTruncated>false</IsTruncated>");
}

constexpr QueryAction actions[] = {
    {"CreateRole", create_role},
    {"GetRole", get_role},
    {"ListRoles", list_roles},
    {"DeleteRole", delete_role},
    {"UpdateRole", update_role},
    {"UpdateAssumeRolePolicy", update_assume_policy},
    {"AttachRolePolicy", attach_policy},
    {"DetachRolePolicy", detach_policy},
    {"ListAttachedRolePolicies", list_attached},
    {"PutRolePolicy", put_inline},
    {"GetRolePolicy", get_inline},
    {"DeleteRolePolicy", delete_inline},
    {"ListRolePolicies", list_inline},
    {"TagRole", tag_role},
    {"UntagRole", untag_role},
    {"ListRoleTags", list_role_tags},
    {"ListInstanceProfilesForRole", no_profiles},
};

}  // namespace

std::span<const QueryAction> role_actions() {
  return actions;
}

}  // namespace berth::api::aws
