// One call of the query protocol (STS, IAM): the form's fields and what the answer is made of. Private to
// aws/.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "api/aws/reply.h"
#include "api/lambda/services.h"
#include "base/json_fwd.h"
#include "io/http_message.h"

namespace berth::api::aws {

inline constexpr std::string_view iam_namespace = "https://iam.amazonaws.com/doc/2010-05-08/";

class QueryCall {
 public:
  QueryCall(FunctionServices& of, const AwsCaller& by, io::HttpQuery form)
      : services(of), caller(by), form_(std::move(form)) {}

  std::string field(std::string_view name) const { return std::string(form_.get_or(name, "")); }
  bool has(std::string_view name) const { return form_.get(name).has_value(); }
  std::string action() const { return field("Action"); }
  /// "Tags.member.1.Key" and "Tags.member.1.Value", and so on.
  std::map<std::string, std::string> tags() const;
  /// "TagKeys.member.1" and so on.
  std::vector<std::string> list(std::string_view name) const;

  Reply answer(std::string_view xml_namespace, std::string_view result) const;
  Reply iam(std::string_view result) const { return answer(iam_namespace, result); }
  /// Of an operation whose result is there and has nothing in it, which some clients look for.
  Reply iam_empty_result() const { return answer(iam_namespace, " "); }

  FunctionServices& services;
  const AwsCaller& caller;

 private:
  io::HttpQuery form_;
};

/// <name>text</name>, escaped.
std::string element(std::string_view name, std::string_view text);
/// <Tags><member>...</member></Tags>
std::string tags_xml(const Json& tags);
/// A list that is whole.
std::string list_xml(std::string_view name, std::string_view members);
/// Policies and assume-role documents are shown percent-encoded, as IAM does.
std::string encoded_document(const std::string& document);

struct QueryAction {
  std::string_view name;
  AwsResult<Reply> (*answer)(QueryCall&);
};
std::span<const QueryAction> role_actions();
std::span<const QueryAction> policy_actions();

}  // namespace berth::api::aws
