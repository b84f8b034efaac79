// Resource policies of functions and layer versions: statements are kept as they are shown.
#include <algorithm>
#include <charconv>
#include <iterator>

#include "api/lambda/function_json.h"
#include "api/lambda/router.h"
#include "base/format.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

using functions::FunctionEntry;
using functions::FunctionSettings;
using functions::LayerVersion;
using functions::Policy;

bool is_statement_id(std::string_view text) {
  return !text.empty() && text.size() <= 100 && std::all_of(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
  });
}

AwsResult<std::string> required_text(const Json& request, const char* name, std::string_view shown) {
  TRY(auto text, text_member(request, name));
  if (!text) return missing_member(shown);
  return std::move(*text);
}

AwsError pattern_violated(std::string_view value, std::string_view name, std::string_view pattern) {
  return aws::validation_exception(
      functions::validation_error(value.substr(0, 256), name,
                                  fmt::format("Member must satisfy regular expression pattern: {}", pattern))
          .message());
}

bool is_account(std::string_view text) {
  return text.size() == 12 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// "arn:aws:iam::123456789012:root"
bool is_root_of_account(std::string_view arn) {
  size_t account = arn.find(":iam::");
  return arn.starts_with("arn:aws") && account != arn.npos && arn.substr(account).size() == 6 + 12 + 5 &&
         is_account(arn.substr(account + 6, 12)) && arn.ends_with(":root");
}

/// Everyone, an account, an ARN, or a service by its name in DNS.
bool is_principal(std::string_view text) {
  if (text == "*" || is_account(text) || text.starts_with("arn:")) return true;
  constexpr std::string_view domains[] = {".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu",
                                          ".amazon.com", ".aws.internal"};
  return std::any_of(std::begin(domains), std::end(domains),
                     [text](std::string_view domain) { return text.ends_with(domain); });
}

/// A service, an account, an ARN or everyone, in the form that policies have.
Json principal_json(const std::string& principal) {
  if (principal == "*") return "*";
  if (is_account(principal)) return {{"AWS", fmt::format("arn:aws:iam::{}:root", principal)}};
  if (principal.starts_with("arn:")) return {{"AWS", principal}};
  return {{"Service", principal}};
}

AwsResult<Json> read_conditions(const Json& request) {
  Json condition = Json::object();
  TRY(auto auth, text_member(request, "FunctionUrlAuthType"));
  if (auth) {
    CHECK(check_enum(*auth, "functionUrlAuthType", {"NONE", "AWS_IAM"}));
    condition["StringEquals"]["lambda:FunctionUrlAuthType"] = *auth;
  }
  TRY(auto account, text_member(request, "SourceAccount"));
  if (account) {
    if (!is_account(*account)) return pattern_violated(*account, "sourceAccount", "\\d{12}");
    condition["StringEquals"]["AWS:SourceAccount"] = *account;
  }
  TRY(auto token, text_member(request, "EventSourceToken"));
  if (token) condition["StringEquals"]["lambda:EventSourceToken"] = *token;
  TRY(auto organisation, text_member(request, "PrincipalOrgID"));
  if (organisation) condition["StringEquals"]["aws:PrincipalOrgID"] = *organisation;
  TRY(auto source, text_member(request, "SourceArn"));
  if (source) condition["ArnLike"]["AWS:SourceArn"] = *source;
  TRY(auto via_url, flag_member(request, "InvokedViaFunctionUrl"));
  if (via_url) condition["Bool"]["lambda:InvokedViaFunctionUrl"] = *via_url ? "true" : "false";
  return condition;
}

/// `seen` is the resource that the statement is about.
AwsResult<Json> read_statement(const Json& request, const std::string& resource) {
  TRY(std::string sid, required_text(request, "StatementId", "statementId"));
  if (!is_statement_id(sid)) return pattern_violated(sid, "statementId", "([a-zA-Z0-9-_]+)");
  TRY(std::string action, required_text(request, "Action", "action"));
  bool known = action == "*" || (action.starts_with("lambda:") && action.size() > 7);
  if (!known) return pattern_violated(action, "action", "(lambda:[*]|lambda:[a-zA-Z]+|[*])");
  TRY(std::string principal, required_text(request, "Principal", "principal"));
  if (principal.empty() || principal.find(' ') != std::string::npos) {
    return pattern_violated(principal, "principal", "[^\\s]+");
  }
  if (!is_principal(principal)) {
    return aws::invalid_parameter(
        "The provided principal was invalid. Please check the principal and try again.");
  }
  TRY(Json condition, read_conditions(request));
  Json statement{{"Sid", sid},
                 {"Effect", "Allow"},
                 {"Principal", principal_json(principal)},
                 {"Action", action},
                 {"Resource", resource}};
  if (!condition.empty()) statement["Condition"] = std::move(condition);
  return statement;
}

bool has(const Policy& policy, std::string_view sid) {
  return std::any_of(policy.statements.begin(), policy.statements.end(),
                     [&](const auto& statement) { return statement.first == sid; });
}

AwsError exists_already(std::string_view sid) {
  return aws::resource_conflict(fmt::format(
      "The statement id ({}) provided already exists. Please provide a new statement id, or remove the "
      "existing statement.",
      sid));
}

AwsError wrong_revision(std::string_view operation = "GetPolicy") {
  return {412, "PreconditionFailedException",
          fmt::format("The Revision Id provided does not match the latest Revision Id. Call the {} API to "
                      "retrieve the latest Revision Id",
                      operation)};
}

void add(Policy& policy, const Json& statement) {
  policy.statements.emplace_back(statement["Sid"].get<std::string>(), to_json(statement));
  policy.revision_id = functions::new_revision_id();
}

Reply policy_reply(const Policy& policy) {
  Json statements = Json::array();
  for (const auto& [sid, text] : policy.statements) {
    if (auto statement = parse_json(text)) statements.push_back(std::move(*statement));
  }
  Json document{{"Version", "2012-10-17"}, {"Id", "default"}, {"Statement", std::move(statements)}};
  return aws::json_reply(200, {{"Policy", to_json(document)}, {"RevisionId", policy.revision_id}});
}

AwsResult<void> check_qualifier_exists(Call& call, const FunctionEntry& entry, const std::string& qualifier) {
  if (call.catalog().main_version(entry, qualifier)) return {};
  if (!functions::is_alias_name(qualifier))
    return functions::function_not_found(entry.realm(), entry.name(), qualifier);
  return aws::resource_not_found(fmt::format(
      "Cannot find alias arn: {}:{}", functions::function_arn(entry.realm(), entry.name()), qualifier));
}

/// The qualifier, which must exist, under which a policy is kept: none for the function as a whole.
AwsResult<std::string> policy_key(Call& call, const FunctionEntry& entry) {
  TRY(std::string qualifier, call.qualifier());
  if (qualifier == functions::latest_version) {
    return aws::invalid_parameter("We currently do not support adding policies for $LATEST.");
  }
  if (!qualifier.empty()) CHECK(check_qualifier_exists(call, entry, qualifier));
  return qualifier;
}

AwsResult<Reply> add_permission(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, policy_key(call, *entry));
  std::string resource = functions::function_arn(entry->realm(), entry->name());
  if (!key.empty()) resource.append(":").append(key);
  TRY(Json statement, read_statement(request, resource));
  auto held = entry->settings().policies.find(key);
  bool any = held != entry->settings().policies.end();
  if (any && has(held->second, statement["Sid"].get<std::string>())) {
    return exists_already(statement["Sid"].get<std::string>());
  }
  TRY(auto revision, text_member(request, "RevisionId"));
  if (revision && (!any || *revision != held->second.revision_id)) return wrong_revision();
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    add(settings.policies[key], statement);
    return Result<void>();
  }));
  return aws::json_reply(201, {{"Statement", to_json(statement)}});
}

AwsResult<Reply> get_policy(Call& call) {
  TRY(auto reference, call.function_reference());
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  const Policy* policy = nullptr;
  if (entry != nullptr) {
    auto held = entry->settings().policies.find(reference.qualifier);
    if (held != entry->settings().policies.end()) policy = &held->second;
  }
  if (policy == nullptr || policy->statements.empty())
    return aws::resource_not_found("The resource you requested does not exist.");
  return policy_reply(*policy);
}

AwsResult<Reply> remove_permission(Call& call) {
  TRY(auto reference, call.function_reference());
  const FunctionEntry* entry = call.catalog().find(reference.realm, reference.name);
  if (entry == nullptr) {
    return aws::resource_not_found(
        fmt::format("No policy found for: {}", functions::function_arn(reference.realm, reference.name)));
  }
  TRY(std::string key, call.qualifier());
  if (!key.empty()) CHECK(check_qualifier_exists(call, *entry, key));
  const std::string& sid = call.capture(1);
  auto held = entry->settings().policies.find(key);
  if (held == entry->settings().policies.end())
    return aws::resource_not_found("No policy is associated with the given resource.");
  if (!has(held->second, sid)) {
    return aws::resource_not_found(fmt::format("Statement {} is not found in resource policy.", sid));
  }
  std::string_view revision = call.query("RevisionId");
  if (!revision.empty() && revision != held->second.revision_id) return wrong_revision();
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    Policy& policy = settings.policies[key];
    std::erase_if(policy.statements, [&](const auto& statement) { return statement.first == sid; });
    policy.revision_id = functions::new_revision_id();
    if (policy.statements.empty()) settings.policies.erase(key);
    return Result<void>();
  }));
  return aws::empty_reply(204);
}

// --- a function's policy as one document

constexpr size_t longest_policy = 20 << 10;

AwsError malformed_policy(std::string_view why) {
  return aws::invalid_parameter(fmt::format("The policy is not valid: {}.", why));
}

AwsResult<void> add_of_document(Policy& policy, const Json& statement) {
  if (!statement.is_object()) return malformed_policy("a statement is no object");
  for (const char* name : {"Effect", "Principal", "Action"}) {
    if (member(statement, name) == nullptr)
      return malformed_policy(fmt::format("a statement has no {}", name));
  }
  TRY(auto effect, text_member(statement, "Effect"));
  if (effect != "Allow" && effect != "Deny") return malformed_policy("Effect is Allow or Deny");
  TRY(auto sid, text_member(statement, "Sid"));
  Json kept = statement;
  kept["Sid"] = sid.value_or(functions::new_revision_id());
  std::string id = kept["Sid"].get<std::string>();
  if (!is_statement_id(id)) return pattern_violated(id, "sid", "([a-zA-Z0-9-_]+)");
  if (has(policy, id)) return malformed_policy(fmt::format("two statements have the Sid {}", id));
  add(policy, kept);
  return {};
}

AwsResult<Policy> read_document(const Json& request) {
  TRY(std::string text, required_text(request, "Policy", "policy"));
  if (text.size() > longest_policy) {
    return AwsError{400, "PolicyLengthExceededException",
                    fmt::format("The policy has more than {} bytes.", longest_policy)};
  }
  auto document = parse_json(text, {.max_bytes = longest_policy, .max_depth = 16});
  if (!document || !document->is_object()) return malformed_policy("it is no JSON object");
  const Json* statements = member(*document, "Statement");
  if (statements == nullptr) return malformed_policy("it has no Statement");
  Policy policy;
  if (!statements->is_array()) {
    CHECK(add_of_document(policy, *statements));
    return policy;
  }
  for (const Json& statement : *statements) CHECK(add_of_document(policy, statement));
  if (policy.statements.empty()) return malformed_policy("it has no Statement");
  return policy;
}

AwsResult<Reply> put_resource_policy(Call& call) {
  TRY(Json request, call.json());
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, policy_key(call, *entry));
  TRY(Policy policy, read_document(request));
  TRY(auto revision, text_member(request, "RevisionId"));
  auto held = entry->settings().policies.find(key);
  bool any = held != entry->settings().policies.end();
  if (revision && (!any || *revision != held->second.revision_id)) return wrong_revision();
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.policies[key] = policy;
    return Result<void>();
  }));
  return policy_reply(policy);
}

AwsResult<Reply> delete_resource_policy(Call& call) {
  TRY(const FunctionEntry* entry, call.function());
  TRY(std::string key, policy_key(call, *entry));
  auto held = entry->settings().policies.find(key);
  if (held == entry->settings().policies.end())
    return aws::resource_not_found("No policy is associated with the given resource.");
  std::string_view revision = call.query("RevisionId");
  if (!revision.empty() && revision != held->second.revision_id) return wrong_revision();
  CHECK(call.catalog().update_settings(entry->realm(), entry->name(), [&](FunctionSettings& settings) {
    settings.policies.erase(key);
    return Result<void>();
  }));
  return aws::empty_reply(204);
}

AwsResult<const LayerVersion*> asked_layer(Call& call) {
  auto name = functions::parse_layer_reference(call.capture(), call.realm());
  if (!name) return aws::validation_exception(name.error().message());
  uint64_t version = 0;
  std::from_chars(call.capture(1).data(), call.capture(1).data() + call.capture(1).size(), version);
  const LayerVersion* layer = call.catalog().find_layer(name->realm, name->name, version);
  if (layer == nullptr) {
    return aws::resource_not_found(
        fmt::format("Layer version arn:aws:lambda:{}:{}:layer:{}:{} does not exist.", name->realm.region,
                    name->realm.account, name->name, call.capture(1)));
  }
  return layer;
}

AwsResult<Reply> add_layer_permission(Call& call) {
  TRY(Json request, call.json());
  TRY(const LayerVersion* layer, asked_layer(call));
  TRY(auto action, text_member(request, "Action"));
  if (action && *action != "lambda:GetLayerVersion") {
    return pattern_violated(*action, "action", "lambda:GetLayerVersion");
  }
  TRY(std::string principal, required_text(request, "Principal", "principal"));
  if (principal != "*" && !is_account(principal) && !is_root_of_account(principal)) {
    return pattern_violated(principal, "principal", "\\d{12}|\\*|arn:(aws[a-zA-Z-]*):iam::\\d{12}:root");
  }
  TRY(Json statement, read_statement(request, layer->arn()));
  TRY(auto organisation, text_member(request, "OrganizationId"));
  if (organisation && principal != "*")
    return aws::invalid_parameter("OrganizationId goes with the Principal * alone.");
  if (organisation) statement["Condition"]["StringEquals"]["aws:PrincipalOrgID"] = *organisation;
  if (has(layer->policy, statement["Sid"].get<std::string>())) {
    return exists_already(statement["Sid"].get<std::string>());
  }
  std::string_view revision = call.query("RevisionId");
  if (!revision.empty() && revision != layer->policy.revision_id) return wrong_revision("GetLayerPolicy");
  CHECK(call.catalog().update_layer(layer->realm, layer->name, layer->version, [&](LayerVersion& changed) {
    add(changed.policy, statement);
    return Result<void>();
  }));
  TRY(const LayerVersion* kept, asked_layer(call));
  return aws::json_reply(201, {{"Statement", to_json(statement)}, {"RevisionId", kept->policy.revision_id}});
}

AwsResult<Reply> get_layer_policy(Call& call) {
  TRY(const LayerVersion* layer, asked_layer(call));
  if (layer->policy.statements.empty()) {
    return aws::resource_not_found("No policy is associated with the given resource.");
  }
  return policy_reply(layer->policy);
}

AwsResult<Reply> remove_layer_permission(Call& call) {
  TRY(const LayerVersion* layer, asked_layer(call));
  const std::string& sid = call.capture(2);
  if (!has(layer->policy, sid)) {
    return aws::resource_not_found(fmt::format("Statement {} is not found in resource policy.", sid));
  }
  std::string_view revision = call.query("RevisionId");
  if (!revision.empty() && revision != layer->policy.revision_id) return wrong_revision("GetLayerPolicy");
  CHECK(call.catalog().update_layer(layer->realm, layer->name, layer->version, [&](LayerVersion& changed) {
    std::erase_if(changed.policy.statements, [&](const auto& statement) { return statement.first == sid; });
    changed.policy.revision_id = functions::new_revision_id();
    return Result<void>();
  }));
  return aws::empty_reply(204);
}

constexpr std::string_view resource_policy_path = "/2026-07-09/resource-policy/{}";
constexpr std::string_view layer_policy_path = "/2018-10-31/layers/{}/versions/{}/policy";
constexpr Operation operations[] = {
    {.name = "AddPermission",
     .method = "POST",
     .pattern = "/2015-03-31/functions/{}/policy",
     .answer = add_permission},
    {.name = "GetPolicy",
     .method = "GET",
     .pattern = "/2015-03-31/functions/{}/policy",
     .answer = get_policy},
    {.name = "RemovePermission",
     .method = "DELETE",
     .pattern = "/2015-03-31/functions/{}/policy/{}",
     .answer = remove_permission},
    {.name = "PutResourcePolicy",
     .method = "PUT",
     .pattern = resource_policy_path,
     .answer = put_resource_policy},
    {.name = "GetResourcePolicy", .method = "GET", .pattern = resource_policy_path, .answer = get_policy},
    {.name = "DeleteResourcePolicy",
     .method = "DELETE",
     .pattern = resource_policy_path,
     .answer = delete_resource_policy},
    {.name = "AddLayerVersionPermission",
     .method = "POST",
     .pattern = layer_policy_path,
     .answer = add_layer_permission},
    {.name = "GetLayerVersionPolicy",
     .method = "GET",
     .pattern = layer_policy_path,
     .answer = get_layer_policy},
    {.name = "RemoveLayerVersionPermission",
     .method = "DELETE",
     .pattern = "/2018-10-31/layers/{}/versions/{}/policy/{}",
     .answer = remove_layer_permission},
};

}  // namespace

std::span<const Operation> policy_operations() {
  return operations;
}

}  // namespace berth::api::lambda
