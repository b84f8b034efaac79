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

/// Takes the members of CreateFunction or UpdateFunctionConfiguration, except code; each is checked.
AwsResult<void> apply_configuration(Call& call, const Json& request, functions::FunctionVersion& version);

/// Tags of a request: {"k": "v"}.
AwsResult<std::map<std::string, std::string>> read_tags(const Json& request);

/// Member, or nullptr when it is missing or null.
const Json* member(const Json& object, const char* name);
/// SerializationException when the member is of another type; nullopt when it is missing.
AwsResult<std::optional<std::string>> text_member(const Json& object, const char* name);
AwsResult<std::optional<int64_t>> number_member(const Json& object, const char* name);
AwsResult<std::optional<bool>> flag_member(const Json& object, const char* name);
AwsResult<std::optional<std::vector<std::string>>> texts_member(const Json& object, const char* name);

/// ValidationException unless the number lies within.
AwsResult<void> check_range(int64_t value, std::string_view name, int64_t low, int64_t high);
/// ValidationException unless the text is one of the values.
AwsResult<void> check_enum(std::string_view value, std::string_view name,
                           std::initializer_list<std::string_view> values);

}  // namespace berth::api::lambda
