// What is kept of a container: <root>/<id>/ with state.json (and in it config.json as it was when the
// container was created), init once there is one, and start.sock while it waits to be started.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "spec/runtime.h"
#include "sys/cgroup.h"
#include "sys/fd.h"

namespace berth::runtime {

enum class Status { Creating, Created, Running, Paused, Stopped };
std::string_view to_string(Status status);

struct Record {
  std::string id;
  std::string bundle;        ///< absolute
  std::string rootfs;        ///< absolute
  std::string config;        ///< the text of config.json
  pid_t pid = 0;             ///< 0: it has not come so far
  uint64_t pid_start = 0;    ///< field 22 of /proc/<pid>/stat: tells a pid from its reuse
  uint64_t start_inode = 0;  ///< of the socket on which it waits for its start
  Timestamp created;
  uid_t owner = 0;
  std::string cgroup;                     ///< path of the group; empty: none
  std::string scope;                      ///< systemd's name of it; empty: it is ours alone
  std::string resctrl;                    ///< its class of service; empty: none
  std::vector<std::string> resctrl_made;  ///< what was made of it for this container
  std::vector<std::string> stdio;         ///< what its first three descriptors were (stdio_record.h)
};

class Container {
 public:
  /// A new one, locked. AlreadyExists. An id is [a-zA-Z0-9_+.-], at most 1024 bytes.
  static Result<Container> create(const std::string& root, const std::string& id);
  /// "container does not exist" (NotFound) when there is none. Locked against other changes until destroyed.
  static Result<Container> open(const std::string& root, const std::string& id);
  /// Without waiting for a lock: to look alone.
  static Result<Container> look(const std::string& root, const std::string& id);
  /// Ids of all.
  static Result<std::vector<std::string>> list(const std::string& root);

  const Record& record() const { return record_; }
  Record& record() { return record_; }
  /// Everything but the init: before anything of the container is made.
  Result<void> save() const;
  /// A process that has just been made, and is still held by its maker.
  void set_init(pid_t pid);
  Result<void> save_init() const;
  /// The configuration that the record holds, read once, without capabilities that nobody knows.
  Result<std::shared_ptr<const spec::RuntimeSpec>> config() const;
  /// The same where its maker has read it already.
  void set_config(std::shared_ptr<const spec::RuntimeSpec> config) { config_ = std::move(config); }

  Status status() const;
  /// A pidfd of the init, checked to be it. Unavailable: it is no more.
  Result<sys::UniqueFd> init() const;
  /// The state document of the specification (with runc's additions), for hooks and callers.
  enum class Layout { Pretty, Compact };
  std::string state_json(Status status, const std::map<std::string, std::string>& annotations,
                         Layout layout = Layout::Pretty) const;

  /// Where its root is mounted while it is restored.
  std::string restore_root() const { return directory_ + "/criu-root"; }
  std::string start_socket() const { return directory_ + "/start.sock"; }
  Result<sys::UniqueFd> listen();
  /// Its group, or null where there is none.
  Result<std::unique_ptr<sys::Cgroup>> cgroup() const;
  /// Forgets it: the directory goes.
  Result<void> remove();

 private:
  explicit Container(std::string directory) : directory_(std::move(directory)) {}
  Result<void> load();

  std::string directory_;
  sys::UniqueFd lock_;
  Record record_;
  mutable std::shared_ptr<const spec::RuntimeSpec> config_;
};

}  // namespace berth::runtime
