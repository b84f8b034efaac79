#include "functions/model.h"

#include "base/format.h"

namespace berth::functions {

std::string function_arn(const Realm& realm, const std::string& name) {
  return fmt::format("arn:aws:lambda:{}:{}:function:{}", realm.region, realm.account, name);
}

std::string qualified_arn(const FunctionVersion& version) {
  return fmt::format("{}:{}", function_arn(version.realm, version.name), version.version);
}

}  // namespace berth::functions
