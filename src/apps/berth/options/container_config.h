// ContainerConfig: the body of POST /containers/create from the flags of `run` and `create`.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/berth/failure.h"
#include "apps/berth/grammar/invocation.h"

namespace berth::cli::options {

/// What the commands themselves need to know of the container that they ask for.
struct ContainerConfig {
  std::string body;  ///< JSON: Config with HostConfig and NetworkingConfig
  std::string image;
  bool tty = false;
  bool attach_stdin = false;
  bool attach_stdout = false;
  bool attach_stderr = false;
  bool auto_remove = false;
  std::vector<std::string> dns;
};

struct ConfigContext {
  bool detach = false;                    ///< `run -d`: nothing is attached
  std::vector<std::string> proxies = {};  ///< environment before everything else
  unsigned rows = 0;                      ///< size of the terminal, 0: none
  unsigned columns = 0;
  std::string api_socket = {};  ///< path of the engine's socket for --use-api-socket
};

/// Reads env files, label files and seccomp profiles. Messages are docker's.
Outcome<ContainerConfig> container_config(const grammar::Invocation& invocation,
                                          const ConfigContext& context);

/// --restart: {Name, MaximumRetryCount}.
struct RestartPolicy {
  std::string name;
  int64_t retries = 0;
};
Result<RestartPolicy> parse_restart_policy(std::string_view text);

}  // namespace berth::cli::options
