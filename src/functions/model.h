// What a function is: its name, its configuration and code as one immutable version, and the settings beside
// it. Values without behaviour; catalog/ keeps them, sandbox/ runs them, api/lambda/ shows them. Names and
// units are those of AWS Lambda's API (lambda 2015-03-31).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"

namespace berth::functions {

inline constexpr const char* latest_version = "$LATEST";

/// Where functions live. One engine answers for one account and any region that clients name; ARNs are made
/// of it.
struct Realm {
  std::string account = "000000000000";
  std::string region = "us-east-1";
  bool operator==(const Realm&) const = default;
  auto operator<=>(const Realm&) const = default;
};

enum class PackageType { Zip, Image };
enum class FunctionState { Pending, Active, Inactive, Failed };
enum class UpdateStatus { Successful, Failed, InProgress };
enum class LogFormat { Text, Json };
enum class TracingMode { PassThrough, Active };

struct LayerUse {
  std::string arn;  ///< arn:aws:lambda:REGION:ACCOUNT:layer:NAME:VERSION
  uint64_t code_size = 0;
  std::string directory;  ///< absolute path of the unpacked content, which becomes part of /opt
};

/// Overrides of an image's own configuration (PackageType::Image).
struct ImageOverrides {
  std::vector<std::string> entry_point;
  std::vector<std::string> command;
  std::string working_directory;
};

struct LoggingSettings {
  LogFormat format = LogFormat::Text;
  std::string application_level = {};  ///< "INFO" ...; JSON format only
  std::string system_level = {};
  std::string log_group = {};  ///< empty: /aws/lambda/NAME
};

/// One version of a function: configuration and code. $LATEST is replaced as a whole when it is updated, so
/// that whoever holds a pointer (an invocation under way, a warm sandbox) keeps what it began with.
struct FunctionVersion {
  Realm realm;
  std::string name;
  std::string version = latest_version;  ///< "$LATEST", "1", "2" ...
  PackageType package = PackageType::Zip;
  std::string runtime;  ///< "python3.11", "nodejs20.x", "provided.al2023" ...; empty for images
  std::string handler;
  std::string role;
  std::string description;
  uint32_t timeout_seconds = 3;
  uint32_t memory_mebibytes = 128;
  uint32_t ephemeral_mebibytes = 512;  ///< size of /tmp
  std::string architecture = "x86_64";
  std::map<std::string, std::string> environment;
  std::vector<LayerUse> layers;  ///< in the order given: later ones win in /opt
  LoggingSettings logging;
  TracingMode tracing = TracingMode::PassThrough;
  std::string dead_letter_arn;  ///< empty: none

  std::string code_sha256;     ///< base64 of the zip's SHA-256, as AWS shows it
  uint64_t code_size = 0;      ///< bytes of the zip
  std::string code_directory;  ///< absolute path of the unpacked, read-only zip: /var/task
  std::string image;           ///< PackageType::Image: reference as given
  std::string image_id;        ///< ... and the engine's image id it stands for
  ImageOverrides image_overrides;

  std::string revision_id;  ///< changes with every update
  Timestamp last_modified;
  FunctionState state = FunctionState::Active;
  std::string state_reason, state_reason_code;
  UpdateStatus update_status = UpdateStatus::Successful;
  std::string update_reason, update_reason_code;

  /// Members of requests that are kept and shown and change nothing here (VpcConfig, KMSKeyArn, SnapStart,
  /// FileSystemConfigs ...): member name to JSON text.
  std::map<std::string, std::string> kept_members;
};

using FunctionVersionPtr = std::shared_ptr<const FunctionVersion>;

/// Limits on how many sandboxes of a function may work at once.
struct ConcurrencySettings {
  std::optional<uint32_t> reserved;             ///< of the whole function; 0 switches it off
  std::map<std::string, uint32_t> provisioned;  ///< version -> sandboxes kept initialised
  std::map<std::string, uint32_t> most;         ///< version -> how many there may be
};

/// AWS's limits (strict) or berth's own, which are open: an hour-long function is fine.
enum class LimitProfile { Strict, Open };

std::string function_arn(const Realm& realm, const std::string& name);
std::string qualified_arn(const FunctionVersion& version);
/// Made with TenancyConfig: each event names a tenant, and no sandbox serves two of them.
bool is_per_tenant(const FunctionVersion& version);
/// InvalidArgument unless an event of this tenant (empty: of none) is one for the function.
Result<void> check_tenant(const FunctionVersion& version, std::string_view tenant);

}  // namespace berth::functions
