#include "api/aws/query_services.h"

#include <algorithm>

#include "api/aws/caller.h"
#include "api/aws/reply.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "base/sha256.h"
#include "functions/catalog/catalog.h"
#include "io/http_server.h"

namespace berth::api::aws {
namespace {

constexpr std::string_view sts_namespace = "https://sts.amazonaws.com/doc/2011-06-15/";
constexpr std::string_view iam_namespace = "https://iam.amazonaws.com/doc/2010-05-08/";
constexpr size_t form_bytes = 1 << 20;
constexpr std::string_view role_kind = "iam-role";

/// One call: the form's fields and what the answer is made of.
class QueryCall {
 public:
  QueryCall(FunctionServices& services, const AwsCaller& caller, io::HttpQuery form)
      : services(services), caller(caller), form_(std::move(form)) {}

  std::string field(std::string_view name) const { return std::string(form_.get_or(name, "")); }
  std::string action() const { return field("Action"); }

  Reply answer(std::string_view xml_namespace, std::string_view result) const {
    std::string name = action();
    std::string inner = result.empty() ? "" : fmt::format("<{0}Result>{1}</{0}Result>", name, result);
    return {.status = 200,
            .body = fmt::format("<{0}Response xmlns=\"{1}\">{2}<ResponseMetadata><RequestId>{3}</RequestId>"
                                "</ResponseMetadata></{0}Response>",
                                name, xml_namespace, inner, caller.request_id),
            .content_type = "text/xml"};
  }

  FunctionServices& services;
  const AwsCaller& caller;

 private:
  io::HttpQuery form_;
};

std::string tag(std::string_view name, std::string_view text) {
  return fmt::format("<{0}>{1}</{0}>", name, xml_escape(text));
}

AwsResult<Reply> caller_identity(QueryCall& call) {
  const auto& realm = call.caller.realm;
  std::string result = tag("Arn", fmt::format("arn:aws:iam::{}:root", realm.account)) +
                       tag("UserId", realm.account) + tag("Account", realm.account);
  return call.answer(sts_namespace, result);
}

AwsResult<Reply> assume_role(QueryCall& call) {
  std::string arn = call.field("RoleArn"), session = call.field("RoleSessionName");
  std::string name = arn.substr(arn.rfind('/') + 1);
  std::string expires = iso_milliseconds(to_unix_nanoseconds(now()) + int64_t{3600} * 1'000'000'000);
  std::string assumed =
      fmt::format("arn:aws:sts::{}:assumed-role/{}/{}", call.caller.realm.account, name, session);
  std::string result =
      fmt::format("<AssumedRoleUser>{}{}</AssumedRoleUser><Credentials>{}{}{}{}</Credentials>",
                  tag("Arn", assumed), tag("AssumedRoleId", "AROA" + random_hex(8) + ":" + session),
                  tag("AccessKeyId", call.caller.access_key), tag("SecretAccessKey", "berth"),
                  tag("SessionToken", random_hex(16)), tag("Expiration", expires));
  return call.answer(sts_namespace, result);
}

// --- IAM: roles are kept as documents, so that tools find what they made

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
    text += tag(name, role.value(name, ""));
  }
  text += tag("AssumeRolePolicyDocument", role.value("AssumeRolePolicyDocument", ""));
  text += tag("MaxSessionDuration", role.value("MaxSessionDuration", "3600"));
  return text;
}

/// Documents are shown percent-encoded, as IAM does.
std::string encoded(const std::string& document) {
  return uri_encode(document, Slash::Escape);
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
            {"AssumeRolePolicyDocument", encoded(call.field("AssumeRolePolicyDocument"))},
            {"Attached", Json::object()},
            {"Inline", Json::object()}};
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, fmt::format("<Role>{}</Role>", role_xml(role)));
}

AwsResult<Reply> get_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  return call.answer(iam_namespace, fmt::format("<Role>{}</Role>", role_xml(role)));
}

AwsResult<Reply> list_roles(QueryCall& call) {
  TRY(auto documents, call.services.catalog.documents(role_kind));
  std::string members;
  for (const auto& document : documents) {
    if (!document.name.starts_with(call.caller.realm.account + "/")) continue;
    TRY(Json role, parse_json(document.text));
    members += fmt::format("<member>{}</member>", role_xml(role));
  }
  return call.answer(iam_namespace,
                     fmt::format("<Roles>{}</Roles><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> delete_role(QueryCall& call) {
  TRY(Json role, find_role(call));
  if (!role["Attached"].empty() || !role["Inline"].empty()) {
    return AwsError{409, "DeleteConflict", "Cannot delete entity, must detach all policies first."};
  }
  CHECK(call.services.catalog.remove_document(role_kind,
                                              call.caller.realm.account + "/" + call.field("RoleName")));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> update_assume_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["AssumeRolePolicyDocument"] = encoded(call.field("PolicyDocument"));
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> attach_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string arn = call.field("PolicyArn");
  role["Attached"][arn] = arn.substr(arn.rfind('/') + 1);
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> detach_policy(QueryCall& call) {
  TRY(Json role, find_role(call));
  if (role["Attached"].erase(call.field("PolicyArn")) == 0) {
    return AwsError{404, "NoSuchEntity", fmt::format("Policy {} was not found.", call.field("PolicyArn"))};
  }
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> list_attached(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string members;
  for (const auto& [arn, name] : role["Attached"].items()) {
    members += fmt::format("<member>{}{}</member>", tag("PolicyName", name.get<std::string>()),
                           tag("PolicyArn", arn));
  }
  return call.answer(
      iam_namespace,
      fmt::format("<AttachedPolicies>{}</AttachedPolicies><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> put_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["Inline"][call.field("PolicyName")] = encoded(call.field("PolicyDocument"));
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> get_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string name = call.field("PolicyName");
  if (!role["Inline"].contains(name)) {
    return AwsError{404, "NoSuchEntity", fmt::format("The role policy with name {} cannot be found.", name)};
  }
  return call.answer(iam_namespace, tag("RoleName", call.field("RoleName")) + tag("PolicyName", name) +
                                        tag("PolicyDocument", role["Inline"][name].get<std::string>()));
}

AwsResult<Reply> delete_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  role["Inline"].erase(call.field("PolicyName"));
  CHECK(keep_role(call, role));
  return call.answer(iam_namespace, "");
}

AwsResult<Reply> list_inline(QueryCall& call) {
  TRY(Json role, find_role(call));
  std::string members;
  for (const auto& [name, document] : role["Inline"].items()) members += tag("member", name);
  return call.answer(iam_namespace,
                     fmt::format("<PolicyNames>{}</PolicyNames><IsTruncated>false</IsTruncated>", members));
}

AwsResult<Reply> no_tags(QueryCall& call) {
  TRY([[maybe_unused]] Json role, find_role(call));
  return call.answer(iam_namespace, "<Tags></Tags><IsTruncated>false</IsTruncated>");
}
AwsResult<Reply> no_profiles(QueryCall& call) {
  TRY([[maybe_unused]] Json role, find_role(call));
  return call.answer(iam_namespace, "<InstanceProfiles></InstanceProfiles><IsTruncated>false</IsTruncated>");
}

struct QueryAction {
  std::string_view name;
  AwsResult<Reply> (*answer)(QueryCall&);
};
constexpr QueryAction actions[] = {
    {"GetCallerIdentity", caller_identity},
    {"AssumeRole", assume_role},
    {"CreateRole", create_role},
    {"GetRole", get_role},
    {"ListRoles", list_roles},
    {"DeleteRole", delete_role},
    {"UpdateAssumeRolePolicy", update_assume_policy},
    {"AttachRolePolicy", attach_policy},
    {"DetachRolePolicy", detach_policy},
    {"ListAttachedRolePolicies", list_attached},
    {"PutRolePolicy", put_inline},
    {"GetRolePolicy", get_inline},
    {"DeleteRolePolicy", delete_inline},
    {"ListRolePolicies", list_inline},
    {"ListRoleTags", no_tags},
    {"ListInstanceProfilesForRole", no_profiles},
};

AwsResult<Reply> dispatch(QueryCall& call) {
  for (const QueryAction& action : actions) {
    if (action.name == call.action()) return action.answer(call);
  }
  return AwsError{400, "InvalidAction",
                  fmt::format("The action {} is not valid for this endpoint.", call.action())};
}

}  // namespace

io::Task<void> serve_query(FunctionServices& services, io::Exchange& exchange, AwsCaller caller) {
  std::string_view xml_namespace = caller.service == "iam" ? iam_namespace : sts_namespace;
  auto body = co_await exchange.read_body(form_bytes);
  AwsResult<Reply> reply = AwsError{400, "MalformedQueryString", "The request body is no form"};
  auto form = body ? io::HttpQuery::parse(*body) : Result<io::HttpQuery>(body.error());
  auto allowed = body ? check_caller(services, exchange, *body) : AwsResult<void>();
  if (!allowed) {
    reply = allowed.error();
  } else if (form) {
    QueryCall call(services, caller, std::move(*form));
    reply = dispatch(call);
  }
  Reply answer =
      reply ? std::move(*reply) : query_error_reply(reply.error(), caller.request_id, xml_namespace);
  [[maybe_unused]] auto sent = co_await exchange.respond(answer.status, answer.content_type, answer.body);
}

}  // namespace berth::api::aws
