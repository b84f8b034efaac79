#include "api/lambda/function_state.h"

#include "api/lambda/invoking.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/runtimes/runtime_bases.h"

namespace berth::api::lambda {
namespace {

using functions::BaseStatus;
using functions::FunctionVersion;

functions::RuntimeBases* bases_for(const FunctionServices& services, const FunctionVersion& version) {
  return version.package == functions::PackageType::Zip ? services.bases : nullptr;
}

}  // namespace

Json with_base_state(const FunctionServices& services, const FunctionVersion& version, Json configuration) {
  auto* bases = bases_for(services, version);
  BaseStatus status = bases == nullptr ? BaseStatus() : bases->status(version.runtime);
  auto set = [&](const char* state, const char* code) {
    configuration["State"] = state;
    configuration["StateReason"] = status.reason;
    configuration["StateReasonCode"] = code;
  };
  switch (status.state) {
    case BaseStatus::State::Ready:
      break;
    case BaseStatus::State::Making:
      set("Pending", "Creating");
      configuration.erase("LastUpdateStatus");
      break;
    case BaseStatus::State::Failed:
      set("Failed", "InvalidRuntime");
      configuration["LastUpdateStatus"] = "Failed";
      configuration["LastUpdateStatusReason"] = status.reason;
      configuration["LastUpdateStatusReasonCode"] = "InvalidRuntime";
      break;
    case BaseStatus::State::Absent:
      set("Inactive", "Idle");
      break;
  }
  return configuration;
}

void begin_base(const FunctionServices& services, const FunctionVersion& version) {
  if (auto* bases = bases_for(services, version)) bases->begin(version.runtime);
}

aws::AwsResult<void> check_invocable(const FunctionServices& services, const FunctionVersion& version) {
  auto* bases = bases_for(services, version);
  if (bases == nullptr || !bases->is_making(version.runtime)) return {};
  BaseStatus status = bases->status(version.runtime);
  if (status.state != BaseStatus::State::Making) return {};
  return aws::resource_conflict(
      fmt::format("The operation cannot be performed at this time. The function is currently in the "
                  "following state: Pending. {}",
                  status.reason));
}

}  // namespace berth::api::lambda
