// Functions as Lambda's API shows them, and the members of requests that make or change them.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "api/lambda/call.h"
#include "base/json_fwd.h"

namespace berth::api::lambda {

/// What a configuration is shown for: lists leave the state out, and an ARN carries the qualifier it was
/// asked for by.
enum class Shown { Whole, InList };
/// FunctionConfiguration. `qualifier` empty: the unqualified ARN.
Json configuration_json(const functions::FunctionVersion& version, std::string_view qualifier,
                        Shown shown = Shown::Whole);

/// AWS's runtimes in the order in which its refusals name them.
inline constexpr std::string_view known_runtimes =
    "nodejs20.x, python3.14, provided.al2023, python3.12, python3.13, nodejs24.x, nodejs22.x, java25, "
    "python3.10, python3.11, java21, ruby3.3, ruby3.4, ruby3.2, python3.8, python3.9, java17, nodejs16.x, "
    "dotnet10, dotnet8, java11, dotnet6, nodejs18.x, provided.al2, java8.al2";
/// A kept member that is not shown: Environment was given, with no variable in it.
inline constexpr const char* empty_environment = "_EmptyEnvironment";

/// Takes the members of CreateFunction or UpdateFunctionConfiguration, except code; each is checked.
AwsResult<void> apply_configuration(Call& call, const Json& request, functions::FunctionVersion& version);
/// Of those, what is kept and shown and has no effect here, or is refused since there is nothing like it.
AwsResult<void> apply_features(const Json& request, functions::FunctionVersion& version);
/// TenancyConfig, which a function is made with and keeps.
AwsResult<void> apply_tenancy(const Json& request, functions::FunctionVersion& version);
/// PublishTo, which stands for capacity providers. InvalidParameterValueException.
AwsResult<void> refuse_publish_to(const Json& request);
/// CodeSigningConfigNotFoundException unless there is such a configuration.
AwsResult<void> check_code_signing_config(Call& call, const std::string& arn);
/// Code signing configurations are documents of this kind, by their ARN; "Tags" of one is not shown.
inline constexpr std::string_view signing_config_kind = "code-signing-config";
std::map<std::string, std::string> signing_config_tags(const Json& config);
AwsError no_signing_config(std::string_view arn);

/// Tags of a request: {"k": "v"}.
AwsResult<std::map<std::string, std::string>> read_tags(const Json& request);

/// Member, or nullptr when it is missing or null.
const Json* member(const Json& object, const char* name);
/// SerializationException when the member is of another type; nullopt when it is missing.
AwsResult<std::optional<std::string>> text_member(const Json& object, const char* name);
AwsResult<std::optional<int64_t>> number_member(const Json& object, const char* name);
AwsResult<std::optional<bool>> flag_member(const Json& object, const char* name);
AwsResult<std::optional<std::vector<std::string>>> texts_member(const Json& object, const char* name);
/// nullptr when it is missing.
AwsResult<const Json*> object_member(const Json& object, const char* name);

/// Whether a layer of another account is there is not told to whom it does not allow it.
/// AccessDeniedException.
AwsError foreign_layer(const Call& call, std::string_view arn);
/// Queues of another region are out of a function's reach. InvalidParameterValueException.
AwsResult<void> check_queue_region(const functions::Realm& realm, std::string_view arn);

/// ValidationException of a member that a request has to have.
AwsError missing_member(std::string_view name);
/// ValidationException unless the number lies within.
AwsResult<void> check_range(int64_t value, std::string_view name, int64_t low, int64_t high);
/// ValidationException unless the text is one of the values.
AwsResult<void> check_enum(std::string_view value, std::string_view name,
                           std::initializer_list<std::string_view> values);

}  // namespace berth::api::lambda
