#include "api/events/secrets_api.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "functions/catalog/catalog.h"
#include "functions/catalog/secrets.h"
#include "functions/uuid.h"

namespace berth::api::events {
namespace {

using aws::AwsError;
using aws::AwsResult;
using functions::Secret;

constexpr size_t kMaxName = 512, kMaxValue = 65'536, kMaxSecrets = 10'000, kMaxPage = 100;

struct SecretsCall {
  functions::Catalog& catalog;
  const Json& input;
  functions::Realm realm;
};
using Operation = AwsResult<Json> (*)(SecretsCall& call);

AwsError invalid(std::string message) {
  return {400, "InvalidParameterException", std::move(message)};
}
AwsError internal(const Error& error) {
  return {500, "InternalServiceError", error.message()};
}

AwsResult<std::string> text_of(const Json& input, const char* member) {
  auto text = json_string(input, member);
  if (!text) return invalid(text.error().message());
  return *text;
}

double seconds(Timestamp time) {
  return static_cast<double>(to_unix_nanoseconds(time) / 1'000'000) / 1000;
}

bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("/_+=.@-").find(c) != std::string_view::npos;
  });
}

AwsResult<Secret> asked(SecretsCall& call) {
  TRY(std::string id, text_of(call.input, "SecretId"));
  auto found = functions::find_secret(call.catalog, call.realm, id);
  if (!found) return internal(found.error());
  if (!*found)
    return AwsError{400, "ResourceNotFoundException", "Secrets Manager can't find the specified secret."};
  return std::move(**found);
}

/// Takes the value that the request has; false: it has none.
AwsResult<bool> take_value(SecretsCall& call, Secret& secret) {
  if (json_member(call.input, "SecretBinary") != nullptr)
    return invalid("berth keeps secrets as text: give SecretString");
  if (json_member(call.input, "SecretString") == nullptr) return false;
  TRY(secret.value, text_of(call.input, "SecretString"));
  if (secret.value.size() > kMaxValue)
    return invalid(fmt::format("SecretString has more than {} bytes", kMaxValue));
  TRY(std::string token, text_of(call.input, "ClientRequestToken"));
  if (!token.empty() && (token.size() < 32 || token.size() > 64))
    return invalid("ClientRequestToken must have 32 to 64 characters");
  secret.version_id = token.empty() ? functions::random_uuid() : token;
  return true;
}

AwsResult<void> keep(SecretsCall& call, Secret& secret) {
  secret.changed = now();
  if (auto kept = functions::keep_secret(call.catalog, secret); !kept) return internal(kept.error());
  return {};
}

Json names_of(const Secret& secret) {
  return {{"ARN", secret.arn()}, {"Name", secret.name}};
}
Json version_of(const Secret& secret) {
  Json json = names_of(secret);
  if (!secret.version_id.empty()) json["VersionId"] = secret.version_id;
  return json;
}

Json description_of(const Secret& secret) {
  Json json = names_of(secret);
  if (!secret.description.empty()) json["Description"] = secret.description;
  json["CreatedDate"] = seconds(secret.created);
  json["LastChangedDate"] = seconds(secret.changed);
  return json;
}

AwsResult<Json> create_secret(SecretsCall& call) {
  Secret secret{.realm = call.realm};
  TRY(secret.name, text_of(call.input, "Name"));
  if (!is_name(secret.name)) {
    return AwsError{400, "ValidationException",
                    "Invalid name. Must be a valid name containing alphanumeric characters, or any of the "
                    "following: -/_+=.@!"};
  }
  auto all = functions::list_secrets(call.catalog, call.realm);
  if (!all) return internal(all.error());
  bool taken =
      std::any_of(all->begin(), all->end(), [&](const Secret& other) { return other.name == secret.name; });
  if (taken) {
    return AwsError{400, "ResourceExistsException",
                    fmt::format("The operation failed because the secret {} already exists.", secret.name)};
  }
  if (all->size() >= kMaxSecrets)
    return AwsError{400, "LimitExceededException", fmt::format("There are {} secrets already", kMaxSecrets)};
  TRY(secret.description, text_of(call.input, "Description"));
  TRY([[maybe_unused]] bool has_value, take_value(call, secret));
  secret.suffix = random_hex(3);
  secret.created = now();
  CHECK(keep(call, secret));
  return version_of(secret);
}

AwsResult<Json> get_secret_value(SecretsCall& call) {
  TRY(Secret secret, asked(call));
  TRY(std::string version, text_of(call.input, "VersionId"));
  TRY(std::string stage, text_of(call.input, "VersionStage"));
  bool current = (version.empty() || version == secret.version_id) &&
                 (stage.empty() || stage == "AWSCURRENT") && !secret.version_id.empty();
  if (!current) {
    return AwsError{400, "ResourceNotFoundException",
                    "Secrets Manager can't find the specified secret value: there is none, or only the "
                    "newest, AWSCURRENT."};
  }
  Json json = version_of(secret);
  json["SecretString"] = secret.value;
  json["VersionStages"] = {"AWSCURRENT"};
  json["CreatedDate"] = seconds(secret.changed);
  return json;
}

AwsResult<Json> put_secret_value(SecretsCall& call) {
  TRY(Secret secret, asked(call));
  TRY(bool has_value, take_value(call, secret));
  if (!has_value) return invalid("You must provide SecretString.");
  CHECK(keep(call, secret));
  Json json = version_of(secret);
  json["VersionStages"] = {"AWSCURRENT"};
  return json;
}

AwsResult<Json> update_secret(SecretsCall& call) {
  TRY(Secret secret, asked(call));
  TRY([[maybe_unused]] bool has_value, take_value(call, secret));
  if (json_member(call.input, "Description") != nullptr) {
    TRY(secret.description, text_of(call.input, "Description"));
  }
  CHECK(keep(call, secret));
  return version_of(secret);
}

AwsResult<Json> describe_secret(SecretsCall& call) {
  TRY(Secret secret, asked(call));
  Json json = description_of(secret);
  if (!secret.version_id.empty()) json["VersionIdsToStages"] = {{secret.version_id, {"AWSCURRENT"}}};
  return json;
}

AwsResult<Json> list_secrets(SecretsCall& call) {
  auto limit = json_int(call.input, "MaxResults", kMaxPage);
  if (!limit || *limit < 1 || *limit > static_cast<int64_t>(kMaxPage))
    return invalid("MaxResults must be between 1 and 100");
  TRY(std::string token, text_of(call.input, "NextToken"));
  auto all = functions::list_secrets(call.catalog, call.realm);
  if (!all) return internal(all.error());
  Json list = Json::array();
  Json answer = Json::object();
  for (const Secret& secret : *all) {  // by name: a token is the last one shown
    if (!token.empty() && secret.name <= token) continue;
    if (list.size() == static_cast<size_t>(*limit)) {
      answer["NextToken"] = list.back()["Name"];
      break;
    }
    list.push_back(description_of(secret));
  }
  answer["SecretList"] = std::move(list);
  return answer;
}

AwsResult<Json> delete_secret(SecretsCall& call) {
  TRY(Secret secret, asked(call));
  if (auto removed = functions::remove_secret(call.catalog, secret); !removed)
    return internal(removed.error());
  Json json = names_of(secret);
  json["DeletionDate"] = seconds(now());
  return json;
}

struct NamedOperation {
  std::string_view name;
  Operation operation;
};
constexpr std::array operations{
    NamedOperation{"CreateSecret", create_secret},      NamedOperation{"GetSecretValue", get_secret_value},
    NamedOperation{"PutSecretValue", put_secret_value}, NamedOperation{"UpdateSecret", update_secret},
    NamedOperation{"DescribeSecret", describe_secret},  NamedOperation{"ListSecrets", list_secrets},
    NamedOperation{"DeleteSecret", delete_secret}};

/// This service has its text in "Message".
aws::Reply refusal(const aws::AwsError& error) {
  aws::Reply reply = aws::json_error_reply(error);
  reply.body = to_json(Json{{"__type", error.type}, {"Message", error.message}});
  return reply;
}

}  // namespace

aws::Reply answer_secrets(functions::Catalog& catalog, std::string_view target, std::string_view body,
                          functions::Realm realm) {
  std::string_view name = target.substr(target.find('.') + 1);
  auto input = parse_json(body.empty() ? "{}" : body);
  if (!input || !input->is_object())
    return refusal({400, "SerializationException", "the request is not a JSON object"});
  for (const NamedOperation& known : operations) {
    if (known.name != name) continue;
    SecretsCall call{catalog, *input, std::move(realm)};
    auto output = known.operation(call);
    if (!output) return refusal(output.error());
    aws::Reply reply = aws::json_reply(200, *output);
    reply.content_type = "application/x-amz-json-1.1";
    return reply;
  }
  return refusal(
      {400, "UnknownOperationException", fmt::format("berth does not know {}", name.substr(0, 100))});
}

}  // namespace berth::api::events
