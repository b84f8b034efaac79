// An SSH agent for keys in files, as `--ssh ID=KEY[,KEY]` names them: OpenSSH's own, which lives as long as
// the build, also if the command is killed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/berth/failure.h"
#include "sys/host_program.h"

namespace berth::cli::commands {

class KeyAgent {
 public:
  /// Failures name `flag`: OpenSSH's programs are not there, or what ssh-add says of a key (one with a
  /// passphrase, for which there is nobody to ask).
  static Outcome<std::unique_ptr<KeyAgent>> start(const std::string& flag,
                                                  const std::vector<std::string>& keys);
  KeyAgent(const KeyAgent&) = delete;
  /// Ends the agent and removes its socket.
  ~KeyAgent();

  std::string socket() const { return folder_ + "/agent"; }

 private:
  KeyAgent(std::string folder, sys::HostProgram program)
      : folder_(std::move(folder)), program_(std::move(program)) {}

  std::string folder_;
  sys::HostProgram program_;
};

}  // namespace berth::cli::commands
