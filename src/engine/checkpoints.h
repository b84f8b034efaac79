// Checkpoints: containers' processes as files, made and read by criu (launch/criu.h), an optional program. A
// checkpoint is a directory of criu's images with a record of ours, which is written when the images are
// complete: without it there is none. They lie in the container's own directory and go with it, or below a
// directory that the client names: <directory>/<container's id>/checkpoints/<name>, as with docker.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "io/task.h"

namespace berth::engine {

class Core;
class Engine;

struct NewCheckpoint {
  std::string name;
  std::string directory = {};  ///< absolute; empty: the container's own
  bool ends = true;            ///< the container's processes end with it
};

class Checkpoints {
 public:
  explicit Checkpoints(const Engine& engine);

  /// AlreadyExists; WrongState for a container that does not run; Unsupported where criu does not work, or
  /// for what it cannot dump. A container whose checkpoint fails runs on.
  io::Task<Result<void>> create(std::string reference, NewCheckpoint request);
  /// Names, sorted. NotFound: no such directory.
  io::Task<Result<std::vector<std::string>>> list(std::string reference, std::string directory);
  io::Task<Result<void>> remove(std::string reference, std::string name, std::string directory);
  /// Starts a container from a checkpoint, its own or one that lies at <directory>/<name>. NotModified when
  /// it runs.
  io::Task<Result<void>> start(std::string reference, std::string name, std::string directory);

 private:
  Core& core_;
};

}  // namespace berth::engine
