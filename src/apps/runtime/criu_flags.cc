// Flags for criu.
#include "apps/runtime/criu_flags.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>

#include "base/format.h"
#include "launch/criu_container.h"
#include "sys/file.h"

namespace berth::runtime {
namespace {

constexpr Flag kBoth[] = {{"image-path"},
                          {"work-path"},
                          {"tcp-established", FlagKind::Switch},
                          {"ext-unix-sk", FlagKind::Switch},
                          {"shell-job", FlagKind::Switch},
                          {"file-locks", FlagKind::Switch},
                          {"manage-cgroups-mode"},
                          {"empty-ns", FlagKind::List},
                          {"auto-dedup", FlagKind::Switch},
                          {"lazy-pages", FlagKind::Switch},
                          {"network-lock"}};
constexpr Flag kCheckpoint[] = {{"parent-path"},
                                {"leave-running", FlagKind::Switch},
                                {"tcp-skip-in-flight", FlagKind::Switch},
                                {"link-remap", FlagKind::Switch},
                                {"status-fd"},
                                {"page-server"},
                                {"pre-dump", FlagKind::Switch}};
constexpr Flag kRestore[] = {{"bundle", FlagKind::Value, 'b'},
                             {"config", FlagKind::Value, 'f'},
                             {"console-socket"},
                             {"pid-file"},
                             {"detach", FlagKind::Switch, 'd'},
                             // berth-runtime never is a subreaper, and criu does not pivot.
                             {"no-subreaper", FlagKind::Switch},
                             {"no-pivot", FlagKind::Switch},
                             {"tcp-close", FlagKind::Switch},
                             {"lsm-profile"},
                             {"lsm-mount-context"}};

template <size_t N>
std::vector<Flag> with_both(const Flag (&own)[N]) {
  std::vector<Flag> flags(std::begin(kBoth), std::end(kBoth));
  flags.insert(flags.end(), std::begin(own), std::end(own));
  return flags;
}

Result<launch::CriuCgroups> cgroups_of(const CommandLine& line) {
  std::string mode = line.text("manage-cgroups-mode");
  if (mode.empty() || mode == "soft") return launch::CriuCgroups::Soft;
  if (mode == "full") return launch::CriuCgroups::Full;
  if (mode == "strict") return launch::CriuCgroups::Strict;
  if (mode == "ignore") return launch::CriuCgroups::Ignore;
  return failure(Kind::InvalidArgument,
                 "--manage-cgroups-mode \"{}\": it is \"soft\", \"full\", \"strict\" or \"ignore\"", mode);
}

Result<std::optional<launch::CriuNetworkLock>> network_lock_of(const CommandLine& line) {
  std::string method = line.text("network-lock");
  if (method.empty()) return std::optional<launch::CriuNetworkLock>();
  if (method == "iptables") return std::optional(launch::CriuNetworkLock::Iptables);
  if (method == "nftables") return std::optional(launch::CriuNetworkLock::Nftables);
  if (method == "skip") return std::optional(launch::CriuNetworkLock::Skip);
  return failure(Kind::InvalidArgument, "--network-lock \"{}\": it is \"iptables\", \"nftables\" or \"skip\"",
                 method);
}

/// "ADDRESS:PORT", "[::1]:PORT".
Result<void> set_page_server(launch::CriuOptions& options, const std::string& text) {
  if (text.empty()) return {};
  size_t colon = text.rfind(':');
  auto wrong = [&] {
    return failure(Kind::InvalidArgument, "--page-server \"{}\": it is ADDRESS:PORT", text);
  };
  if (colon == std::string::npos || colon == 0) return wrong();
  std::string address = text.substr(0, colon), port = text.substr(colon + 1);
  if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), options.page_server_port);
  bool whole = error == std::errc{} && end == port.data() + port.size();
  if (!whole || address.empty() || options.page_server_port == 0) return wrong();
  options.page_server = address;
  return {};
}

Result<int> status_descriptor(const CommandLine& line) {
  TRY(int64_t number, line.number("status-fd", -1));
  if (!line.has("status-fd") || number == -1) return -1;
  int flags = number >= 0 && number <= INT32_MAX ? ::fcntl(static_cast<int>(number), F_GETFL) : -1;
  if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
    return failure(Kind::InvalidArgument, "--status-fd {}: it is no descriptor that can be written to",
                   number);
  return static_cast<int>(number);
}

Result<sys::UniqueFd> open_directory(const std::string& path, PlaceOf purpose, std::string_view flag) {
  if (purpose == PlaceOf::Checkpoint) CHECK(sys::make_dirs(path, 0700));
  sys::UniqueFd directory(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return Error::from_errno(std::string(flag), path, errno);
  return directory;
}

}  // namespace

std::vector<Flag> flags_of_checkpoint() {
  return with_both(kCheckpoint);
}

std::vector<Flag> flags_of_restore() {
  return with_both(kRestore);
}

Result<CriuFlags> criu_flags(const CommandLine& line) {
  CriuFlags flags{.work = line.text("work-path"), .pre_dump = line.on("pre-dump")};
  if (line.has("image-path")) flags.images = line.text("image-path");
  if (flags.images.empty()) return Error(Kind::InvalidArgument, "--image-path names no directory");
  launch::CriuOptions& options = flags.options;
  options.leave_running = line.on("leave-running");
  options.external_unix_sockets = line.on("ext-unix-sk");
  options.tcp_established = line.on("tcp-established");
  options.tcp_skip_in_flight = line.on("tcp-skip-in-flight");
  options.tcp_close = line.on("tcp-close");
  options.shell_job = line.on("shell-job");
  options.file_locks = line.on("file-locks");
  options.link_remap = line.on("link-remap");
  options.auto_dedup = line.on("auto-dedup");
  options.lazy_pages = line.on("lazy-pages");
  options.lsm_profile = line.text("lsm-profile");
  options.lsm_mount_context = line.text("lsm-mount-context");
  options.parent_images = line.text("parent-path");
  options.track_memory = flags.pre_dump || !options.parent_images.empty();
  TRY(options.cgroups, cgroups_of(line));
  TRY(options.network_lock, network_lock_of(line));
  CHECK(set_page_server(options, line.text("page-server")));
  TRY(flags.status_fd, status_descriptor(line));
  for (const auto& type : line.list("empty-ns"))
    if (type != "network")
      return failure(Kind::InvalidArgument, "--empty-ns \"{}\": criu leaves \"network\" empty and no other",
                     type);
  // Devices and addresses are whoever's that made the namespace, as with runc: hooks, or its path.
  options.empty_network = true;
  return flags;
}

void warn_of_criu_annotation(const Complaints& complaints, const spec::RuntimeSpec& spec) {
  if (spec.annotations.contains("org.criu.config"))
    complaints.warn(fmt::format("annotation org.criu.config has no effect: criu's options are in {}",
                                launch::criu_config_file()));
}

Result<CheckpointPlace> open_place(CriuFlags& flags, PlaceOf purpose) {
  CheckpointPlace place;
  TRY(place.images, open_directory(flags.images, purpose, "--image-path"));
  flags.options.images = place.images.get();
  if (!flags.work.empty()) {
    TRY(place.work, open_directory(flags.work, PlaceOf::Checkpoint, "--work-path"));
    flags.options.work = place.work.get();
  }
  const std::string& parent = flags.options.parent_images;
  if (parent.empty()) return place;
  if (parent.starts_with('/'))
    return failure(Kind::InvalidArgument, "--parent-path \"{}\": it must be relative to --image-path",
                   parent);
  struct stat status {};
  if (::fstatat(place.images.get(), parent.c_str(), &status, 0) != 0)
    return Error::from_errno("invalid --parent-path", parent, errno);
  if (!S_ISDIR(status.st_mode))
    return failure(Kind::InvalidArgument, "--parent-path \"{}\": it is no directory", parent);
  return place;
}

}  // namespace berth::runtime
