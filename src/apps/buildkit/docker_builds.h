// DockerBuilds: builds that docker's command asks for by POST /build?version=2, which berthd hands on as a
// socket: the request's body comes in, and out go a line {"status": 200} (or another with a message) and the
// answer's body: BuildKit's progress in lines of JSON.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "apps/buildkit/docker_parameters.h"
#include "apps/buildkit/services.h"
#include "base/json_fwd.h"
#include "sys/fd.h"

namespace berth::buildkit {

class DockerBuilds {
 public:
  explicit DockerBuilds(Services services) : services_(services) {}

  /// Serves {"kind": "build", "query": {"name": ["value"]}, "registries": X-Registry-Config} on a thread of
  /// its own; `ended` is called when the socket is closed.
  void serve(Json introduction, sys::UniqueFd socket, std::function<void()> ended);
  /// Ends the build of that buildid, and says on the socket whether there was one.
  void cancel(const std::string& build_id, sys::UniqueFd socket);

 private:
  struct Running {
    std::atomic<bool> cancelled = false;
  };
  Result<void> run(const DockerBuild& wanted, const std::string& registries,
                   const std::shared_ptr<sys::UniqueFd>& socket);
  Result<void> offer_upload(const std::string& build_id, const std::shared_ptr<sys::UniqueFd>& socket);
  Result<std::shared_ptr<sys::UniqueFd>> take_upload(const std::string& build_id);

  Services services_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::shared_ptr<Running>> running_;  ///< by buildid
  std::map<std::string, std::shared_ptr<sys::UniqueFd>>
      uploads_;  ///< that no build has taken yet, by buildid
  std::atomic<uint64_t> begun_ = 0;
};

}  // namespace berth::buildkit
