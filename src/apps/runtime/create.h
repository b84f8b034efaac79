// Creating and starting containers: what create, run and start share.
#pragma once

#include <functional>
#include <string>

#include "apps/runtime/container.h"
#include "apps/runtime/flags.h"
#include "apps/runtime/settings.h"
#include "base/result.h"

namespace berth::runtime {

struct CreateOptions {
  std::string bundle;  ///< empty: the working directory
  std::string pid_file;
  std::string console_socket;          ///< empty: `console` takes the master
  std::string config = "config.json";  ///< absolute, or in the bundle
  std::string pidfd_socket;
  bool moves_root = false;
  bool keeps_keyring = false;
  unsigned preserve_fds = 0;
  std::function<Result<void>(sys::UniqueFd master)> console = {};
};

/// A container in status created: its init waits for its start. On failure nothing stays.
Result<Container> create_container(const Settings& settings, const std::string& id,
                                   const CreateOptions& options);

/// Lets its program run. On failure the container is stopped.
Result<void> start_container(const Settings& settings, Container& container, const spec::RuntimeSpec& spec);

/// Hands the listener of a filter that notifies to the agent at its listenerPath, with the container's state.
Result<void> send_listener(const Container& container, Status status, const spec::RuntimeSpec& spec,
                           pid_t pid, int listener);

/// Ends what runs, removes group and record, runs poststop hooks. Its processes are killed first.
Result<void> destroy_container(const Settings& settings, Container& container);

/// --preserve-fds of create, run and exec. InvalidArgument.
Result<unsigned> preserved_descriptors(const CommandLine& line);

/// Descriptors that a service manager passed along (LISTEN_FDS) come on top of --preserve-fds.
unsigned inherited_descriptors(unsigned preserve_fds);

/// Of what the caller left open, nothing but what it says reaches a container or a hook.
void close_foreign_descriptors(unsigned inherited);

Result<void> write_pid_file(const std::string& path, pid_t pid);

/// Waits for our own child; the exit code as a shell gives it.
Result<int> exit_code_of(int pidfd);

}  // namespace berth::runtime
