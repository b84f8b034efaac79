// AgentForwards: SSH agents of a client's session as sockets on this machine, for the engine's RUN
// --mount=type=ssh.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "apps/buildkit/session.h"
#include "base/result.h"

namespace berth::buildkit {

class AgentForward;

class AgentForwards {
 public:
  /// The sockets lie in a directory of their own, made in `parent` when the first is needed.
  explicit AgentForwards(std::string parent);
  AgentForwards(const AgentForwards&) = delete;
  /// Ends every connection and removes the sockets.
  ~AgentForwards();

  /// The socket's path. NotFound: the client has no agent of that id.
  Result<std::string> add(std::shared_ptr<Session> session, const std::string& id);

 private:
  std::string parent_;
  std::string directory_;  ///< empty: none yet
  std::vector<std::unique_ptr<AgentForward>> forwards_;
};

}  // namespace berth::buildkit
