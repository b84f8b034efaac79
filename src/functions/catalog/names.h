// Names of functions as clients give them: bare, with account, as partial or full ARN, each with or without a
// qualifier. The regular expressions and the words of the refusals are AWS's. Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "functions/model.h"

namespace berth::functions {

/// What a function name in a path or member means.
struct FunctionReference {
  Realm realm;
  std::string name;
  std::string qualifier;  ///< of the name itself; empty: none
};

/// `text` in the realm of the request. InvalidArgument: AWS's words of a ValidationException for `member`
/// ("functionName").
Result<FunctionReference> parse_function_reference(std::string_view text, const Realm& realm,
                                                   std::string_view member = "functionName");
/// Version, alias or $LATEST.
Result<void> check_qualifier(std::string_view qualifier);
bool is_version_number(std::string_view text);
bool is_alias_name(std::string_view text);

struct LayerReference {
  Realm realm;
  std::string name;
  std::optional<uint64_t> version;
};
/// Name or ARN, with or without version.
Result<LayerReference> parse_layer_reference(std::string_view text, const Realm& realm);

/// "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {constraint}"
Error validation_error(std::string_view value, std::string_view member, std::string_view constraint);

}  // namespace berth::functions
