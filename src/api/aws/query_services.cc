#include "api/aws/query_services.h"

#include "api/aws/caller.h"
#include "api/aws/query_call.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "io/http_server.h"

namespace berth::api::aws {
namespace {

constexpr std::string_view sts_namespace = "https://sts.amazonaws.com/doc/2011-06-15/";
constexpr size_t form_bytes = 1 << 20;

AwsResult<Reply> caller_identity(QueryCall& call) {
  const auto& realm = call.caller.realm;
  std::string result = element("Arn", fmt::format("arn:aws:iam::{}:root", realm.account)) +
                       element("UserId", realm.account) + element("Account", realm.account);
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
                  element("Arn", assumed), element("AssumedRoleId", "AROA" + random_hex(8) + ":" + session),
                  element("AccessKeyId", call.caller.access_key), element("SecretAccessKey", "berth"),
                  element("SessionToken", random_hex(16)), element("Expiration", expires));
  return call.answer(sts_namespace, result);
}

constexpr QueryAction sts_actions[] = {{"GetCallerIdentity", caller_identity}, {"AssumeRole", assume_role}};

AwsResult<Reply> dispatch(QueryCall& call) {
  for (std::span<const QueryAction> actions :
       {std::span<const QueryAction>(sts_actions), role_actions(), policy_actions()}) {
    for (const QueryAction& action : actions) {
      if (action.name == call.action()) return action.answer(call);
    }
  }
  return AwsError{400, "InvalidAction",
                  fmt::format("The action {} is not valid for this endpoint.", call.action())};
}

}  // namespace

std::string element(std::string_view name, std::string_view text) {
  return fmt::format("<{0}>{1}</{0}>", name, xml_escape(text));
}

std::string tags_xml(const Json& tags) {
  std::string members;
  for (const auto& [key, value] : tags.items()) {
    members +=
        fmt::format("<member>{}{}</member>", element("Key", key), element("Value", value.get<std::string>()));
  }
  return fmt::format("<Tags>{}</Tags>", members);
}

std::string list_xml(std::string_view name, std::string_view members) {
  return fmt::format("<{0}>{1}</{0}><IsTruncated>false</IsTruncated>", name, members);
}

std::string encoded_document(const std::string& document) {
  return uri_encode(document, Slash::Escape);
}

std::map<std::string, std::string> QueryCall::tags() const {
  std::map<std::string, std::string> tags;
  for (int at = 1; has(fmt::format("Tags.member.{}.Key", at)); ++at)
    tags[field(fmt::format("Tags.member.{}.Key", at))] = field(fmt::format("Tags.member.{}.Value", at));
  return tags;
}

std::vector<std::string> QueryCall::list(std::string_view name) const {
  std::vector<std::string> items;
  for (int at = 1; has(fmt::format("{}.member.{}", name, at)); ++at)
    items.push_back(field(fmt::format("{}.member.{}", name, at)));
  return items;
}

Reply QueryCall::answer(std::string_view xml_namespace, std::string_view result) const {
  std::string name = action();
  std::string inner = result.empty() ? "" : fmt::format("<{0}Result>{1}</{0}Result>", name, result);
  return {.status = 200,
          .body = fmt::format("<{0}Response xmlns=\"{1}\">{2}<ResponseMetadata><RequestId>{3}</RequestId>"
                              "</ResponseMetadata></{0}Response>",
                              name, xml_namespace, inner, caller.request_id),
          .content_type = "text/xml"};
}

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
