// What berth and criu say to each other: requests and answers of criu's RPC (images/rpc.proto of criu,
// protocol buffers 2), written and read by hand. Pure. Fields that berth does not use are passed over.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace berth::launch {

/// criu_req_type.
enum class CriuAction : uint32_t {
  Empty = 0,  ///< answers to requests that criu could not read
  Dump = 1,
  Restore = 2,
  PreDump = 4,
  Notify = 6,
  FeatureCheck = 9,
  Version = 10,
};

/// criu_cg_mode: what becomes of control groups when they are dumped and restored.
enum class CriuCgroups : uint32_t { Ignore = 0, Soft = 3, Full = 4, Strict = 5 };

/// criu_network_lock_method: what keeps packets away while connections are dumped.
enum class CriuNetworkLock : uint32_t { Iptables = 1, Nftables = 2, Skip = 3 };

/// criu_opts. Descriptors are numbers in the process that asks, but those of `inherited`, which are criu's
/// own.
struct CriuOptions {
  int images = -1;  ///< descriptor of the directory
  int work = -1;    ///< where the log is written; -1: beside the images
  std::string log_file;
  pid_t pid = 0;  ///< whom to dump
  std::string root;
  std::string parent_images;  ///< relative to the images
  bool leave_running = false;
  bool external_unix_sockets = false;
  bool tcp_established = false;
  bool tcp_skip_in_flight = false;
  bool tcp_close = false;
  bool shell_job = false;
  bool file_locks = false;
  bool link_remap = false;
  bool track_memory = false;
  bool auto_dedup = false;
  bool lazy_pages = false;
  bool evasive_devices = false;
  bool restore_sibling = false;  ///< what is restored becomes the asking process's child
  bool empty_network = false;    ///< a new network namespace is left as it is
  std::string page_server;       ///< its address
  uint16_t page_server_port = 0;
  std::vector<std::string> external;  ///< "mnt[/data]:/data", "net[4026531840]:extRootNetNS"
  std::vector<std::pair<std::string, int>>
      inherited;  ///< "pipe:[17]" and the descriptor that takes its place
  std::vector<std::pair<std::string, std::string>> cgroup_roots;  ///< controller ("" for cgroup2) and path
  std::vector<std::pair<std::string, std::string>> joined;        ///< "ipc" and a namespace's path
  CriuCgroups cgroups = CriuCgroups::Soft;
  std::string freezer;  ///< directory of the group that holds all of it
  std::string lsm_profile;
  std::string lsm_mount_context;
  std::string config_file;  ///< of the host's administrator; its options win over these
  std::optional<CriuNetworkLock> network_lock;
};

std::string encode_criu_request(CriuAction action, const CriuOptions& options);
/// A request without options.
std::string encode_criu_question(CriuAction action);
/// Whether criu has what lazy migration or incremental dumps need.
std::string encode_criu_feature_check(bool memory_tracking, bool lazy_pages);
/// What a notification is answered with.
std::string encode_criu_consent(bool success);

/// criu_resp.
struct CriuAnswer {
  CriuAction action = CriuAction::Empty;
  bool success = false;
  int error = 0;        ///< errno; 0: criu knows none
  std::string message;  ///< the first error that criu met
  std::string script;   ///< of a notification: "post-restore", ...
  pid_t pid = 0;        ///< of a notification, or what was restored
  int version = 0;      ///< 31701 for 3.17.1
  bool memory_tracking = false;
  bool lazy_pages = false;
};

/// Corrupt: no message of criu's.
Result<CriuAnswer> decode_criu_answer(std::string_view bytes);

}  // namespace berth::launch
