// What the catalog keeps beside versions: aliases, policies, URL and event-invoke configurations, layers,
// event source mappings, roles. Plain values; texts and enumerations are those of AWS's API where it has
// them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "functions/model.h"

namespace berth::functions {

struct Alias {
  std::string name;
  std::string version;
  std::string description;
  std::string revision_id;
  std::map<std::string, double> weights;  ///< of further versions; the rest goes to `version`
};

/// A resource policy: statements by id, each as the JSON text that GetPolicy shows.
struct Policy {
  std::string revision_id;
  std::vector<std::pair<std::string, std::string>> statements;
};

struct UrlConfig {
  std::string id;         ///< the host's first label
  std::string qualifier;  ///< alias; empty: $LATEST
  std::string auth_type = "NONE";
  std::string invoke_mode = "BUFFERED";
  struct Cors {
    bool allow_credentials = false;
    std::vector<std::string> allow_headers, allow_methods, allow_origins, expose_headers;
    std::optional<uint32_t> max_age;
  };
  std::optional<Cors> cors;
  Timestamp created, modified;
};

/// What becomes of asynchronous events of one qualifier.
struct EventInvokeConfig {
  std::optional<uint32_t> maximum_retries;      ///< 0 to 2; none: 2
  std::optional<uint32_t> maximum_age_seconds;  ///< 60 to 21,600; none: 21,600
  std::string on_success, on_failure;           ///< ARNs of destinations; empty: none
  Timestamp modified;
};

struct ProvisionedConfig {
  uint32_t requested = 0;
  Timestamp modified;
};

/// Sandboxes of one published version: how many there are always, and at most.
struct ScalingConfig {
  std::optional<uint32_t> least, most;
};

/// All that belongs to a function and not to one of its versions.
struct FunctionSettings {
  std::map<std::string, std::string> tags;
  std::map<std::string, Alias> aliases;
  std::map<std::string, Policy> policies;                 ///< by qualifier; "" is the unqualified function
  std::map<std::string, UrlConfig> urls;                  ///< by alias; "" is $LATEST
  std::map<std::string, EventInvokeConfig> event_invoke;  ///< by qualifier; $LATEST is "$LATEST"
  std::map<std::string, ProvisionedConfig> provisioned;   ///< by version or alias
  std::map<std::string, ScalingConfig> scaling;           ///< by version
  std::optional<uint32_t> reserved_concurrency;
  std::map<std::string, std::string> runtime_management;  ///< by qualifier: JSON text
  std::string recursive_loop = "Terminate";
  std::string code_signing_config;  ///< ARN; empty: none
  uint64_t next_version = 1;
  std::map<std::string, std::string> kept;  ///< further configurations as JSON text, by operation
};

struct LayerVersion {
  Realm realm;
  std::string name;
  uint64_t version = 0;
  std::string description, license;
  std::vector<std::string> runtimes, architectures;
  std::string code_sha256;  ///< base64
  uint64_t code_size = 0;
  std::string directory;  ///< absolute path of the unpacked content
  Timestamp created;
  Policy policy;
  std::string arn() const;        ///< with version
  std::string layer_arn() const;  ///< without
};

/// One event source mapping. What only some sources know stays in `kept`, as the request had it.
struct EventSourceMapping {
  std::string uuid;
  Realm realm;
  std::string function;          ///< name
  std::string qualifier;         ///< alias or version; empty: $LATEST
  std::string event_source_arn;  ///< empty: self-managed Kafka
  bool enabled = true;
  uint32_t batch_size = 0;
  uint32_t window_seconds = 0;
  std::vector<std::string> filters;  ///< patterns, JSON
  bool report_item_failures = false;
  std::optional<int32_t> maximum_retries;             ///< -1: without end
  std::optional<int32_t> maximum_record_age_seconds;  ///< -1: without end
  bool bisect_on_error = false;
  std::string on_failure;                       ///< ARN of the destination; empty: none
  std::optional<uint32_t> maximum_concurrency;  ///< SQS
  // Kafka.
  std::vector<std::string> topics;
  std::vector<std::string> bootstrap_servers;
  std::string consumer_group;
  std::vector<std::pair<std::string, std::string>> source_access;  ///< Type, URI
  std::string starting_position;                                   ///< TRIM_HORIZON LATEST AT_TIMESTAMP
  std::optional<double> starting_timestamp;                        ///< seconds since the epoch
  std::map<std::string, std::string> kept;                         ///< member name to JSON text

  std::string state = "Enabled";  ///< Creating Enabling Enabled Disabling Disabled Updating Deleting
  std::string state_reason = "USER_INITIATED";
  std::string last_result = "No records processed";
  Timestamp modified;
  std::map<std::string, std::string> tags;
  std::string arn() const;
};

/// A document that something else than functions needs (an IAM role, a code signing configuration).
struct KeptDocument {
  std::string kind, name, text;
};

}  // namespace berth::functions
