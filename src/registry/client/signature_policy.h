// The signature policy: a document that says which images may come, which may not, and which need whose
// signature. Pure; the first rule whose pattern fits decides, and what no rule fits is decided by "default".
//
//   {"default": "reject",
//    "rules": [{"images": "registry.lan/team/*", "require": "signed", "keys": ["team.pub"]},
//              {"images": "docker.io/library/*", "require": "accept"}]}
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "spec/reference.h"

namespace berth::registry {

struct SignatureRule {
  std::string images;  ///< pattern of full names without tag: "docker.io/library/*"; '*' passes over '/'
  enum class Require { Accept, Reject, Signed } require = Require::Reject;
  std::vector<std::string> keys = {};  ///< paths of PEM public keys; one signature by one of them is enough
  std::string identity = {};  ///< the name that signatures must give instead of the image's own (a copy)
};

struct SignaturePolicy {
  std::vector<SignatureRule> rules;
  SignatureRule fallback;
};

/// `folder` is what relative paths of keys are relative to. Unknown members, values or types, missing keys:
/// InvalidArgument that names the rule. A policy that is not understood allows nothing.
Result<SignaturePolicy> parse_signature_policy(std::string_view text, std::string_view folder);

const SignatureRule& rule_for(const SignaturePolicy& policy, const spec::Reference& image);

/// Reads and parses the document, and reads its keys once to see that they are ones.
Result<SignaturePolicy> read_signature_policy(const std::string& path);

}  // namespace berth::registry
