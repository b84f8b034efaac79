// Fetching trees.
#include "apps/buildkit/file_sync.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <cctype>
#include <deque>
#include <map>

#include <filesync.grpc.pb.h>
#include "apps/buildkit/file_modes.h"
#include "base/format.h"
#include "storage/tar_writer.h"

namespace berth::buildkit {
namespace {

using fsutil::types::Packet;
using fsutil::types::Stat;
using Stream = grpc::ClientReaderWriter<Packet, Packet>;

constexpr size_t max_entries = 1'000'000;
constexpr uint64_t max_bytes = uint64_t{64} << 30;
constexpr size_t max_path = 4096;
/// How much is asked for ahead of what is being written: contents of several files come interleaved.
constexpr uint64_t max_ahead_bytes = uint64_t{8} << 20;
constexpr size_t max_ahead_files = 64;
constexpr size_t max_file_bytes = size_t{8} << 20;

/// Values of gRPC's metadata are plain ASCII; others travel escaped, with a second key that says so.
void add_values(grpc::ClientContext& context, const std::string& key,
                const std::vector<std::string>& values) {
  auto is_plain = [](const std::string& value) {
    return std::all_of(value.begin(), value.end(), [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
  };
  bool plain = std::all_of(values.begin(), values.end(), is_plain);
  for (const std::string& value : values) {
    std::string text = value;
    if (!plain) {
      text.clear();
      for (unsigned char c : value) {
        if (std::isalnum(c) != 0 || c == '-' || c == '_' || c == '.' || c == '~') {
          text.push_back(static_cast<char>(c));
        } else {
          text += fmt::format("%{:02X}", c);
        }
      }
    }
    context.AddMetadata(key, text);
  }
  if (!plain) context.AddMetadata(key + "-encoded", "1");
}

/// A path that a client sent: relative, clean, beneath the root.
bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > max_path || path.front() == '/' || path.find('\0') != path.npos)
    return false;
  while (!path.empty()) {
    size_t end = path.find('/');
    std::string_view element = path.substr(0, end);
    if (element.empty() || element == "." || element == "..") return false;
    path.remove_prefix(end == path.npos ? path.size() : end + 1);
  }
  return true;
}

class SinkOf : public storage::ByteSink {
 public:
  explicit SinkOf(const WriteBytes& write) : write_(write) {}
  Result<void> write(std::string_view bytes) override { return write_(bytes); }

 private:
  const WriteBytes& write_;
};

storage::TarEntry entry_of(const Stat& stat) {
  storage::TarEntry entry;
  entry.name = stat.path();
  entry.mode = permissions_of(stat.mode());
  entry.uid = stat.uid();
  entry.gid = stat.gid();
  entry.mtime.seconds = stat.mod_time() / 1'000'000'000;
  if (stat.mode() & go_mode::dir) {
    entry.type = storage::TarType::Directory;
    entry.name += "/";
  } else if (stat.mode() & go_mode::symlink) {
    entry.type = storage::TarType::Symlink;
    entry.link = stat.linkname();
  } else if (stat.mode() & go_mode::device) {
    entry.type =
        stat.mode() & go_mode::char_device ? storage::TarType::CharDevice : storage::TarType::BlockDevice;
    entry.major = static_cast<uint32_t>(stat.devmajor());
    entry.minor = static_cast<uint32_t>(stat.devminor());
  } else if (stat.mode() & go_mode::fifo) {
    entry.type = storage::TarType::Fifo;
  } else if (!stat.linkname().empty()) {
    entry.type = storage::TarType::HardLink;
    entry.link = stat.linkname();
  } else {
    entry.size = static_cast<uint64_t>(stat.size());
  }
  return entry;
}

/// One fetch: the list of files first, then their contents in its order, some of them asked for ahead.
class Fetch {
 public:
  Fetch(Stream& stream, const WriteBytes& write, const std::function<void(TreeProgress)>& progress,
        const Cancelled& cancelled)
      : stream_(stream), sink_(write), tar_(sink_), progress_(progress), cancelled_(cancelled) {}

  Result<void> run() {
    CHECK(list());
    for (size_t at = 0; at < stats_.size(); ++at) CHECK(put(at));
    CHECK(tar_.finish());
    Packet fin;
    fin.set_type(Packet::PACKET_FIN);
    stream_.Write(fin);
    return {};
  }

 private:
  Result<Packet> next() {
    if (cancelled_()) return Error(Kind::Cancelled, "build cancelled");
    Packet packet;
    if (!stream_.Read(&packet)) return Error(Kind::Unavailable, "the client closed the stream of its files");
    if (packet.type() == Packet::PACKET_ERR)
      return failure(Kind::InvalidArgument, "the client's files: {}", packet.data().substr(0, 1024));
    return packet;
  }

  Result<void> list() {
    while (true) {
      TRY(Packet packet, next());
      if (packet.type() != Packet::PACKET_STAT) continue;
      if (!packet.has_stat() || packet.stat().path().empty()) return {};
      if (stats_.size() >= max_entries)
        return failure(Kind::Exhausted, "the context has more than {} files", max_entries);
      CHECK(check(packet.stat()));
      stats_.push_back(std::move(*packet.mutable_stat()));
    }
  }

  Result<void> check(const Stat& stat) {
    bool hard_link = is_regular(stat.mode()) && !stat.linkname().empty();
    if (!is_safe_path(stat.path()) || (hard_link && !is_safe_path(stat.linkname())))
      return failure(Kind::InvalidArgument, "the client sent a file named \"{}\"",
                     stat.path().substr(0, 256));
    if (stat.size() < 0) return failure(Kind::InvalidArgument, "{}: negative size", stat.path());
    if (is_regular(stat.mode()) && !hard_link) total_ += static_cast<uint64_t>(stat.size());
    if (total_ > max_bytes) return failure(Kind::Exhausted, "the context is larger than {} bytes", max_bytes);
    return {};
  }

  static bool has_content(const Stat& stat) {
    return is_regular(stat.mode()) && stat.linkname().empty() && stat.size() > 0;
  }

  Result<void> put(size_t at) {
    const Stat& stat = stats_[at];
    if (stat.mode() & (go_mode::socket | go_mode::irregular)) return {};
    storage::TarEntry entry = entry_of(stat);
    CHECK(tar_.header(entry));
    if (!has_content(stat)) return {};
    request_until(at);
    uint64_t left = entry.size;
    while (left > 0) {
      TRY(std::string bytes, content(static_cast<uint32_t>(at)));
      if (bytes.empty())
        return failure(Kind::InvalidArgument, "{}: the file became shorter while it was read", stat.path());
      // A file that grows meanwhile: what the list said counts.
      size_t count = static_cast<size_t>(std::min<uint64_t>(bytes.size(), left));
      CHECK(tar_.content(std::string_view(bytes).substr(0, count)));
      left -= count;
      sent_ += count;
      if (progress_) progress_({.bytes = sent_});
    }
    CHECK(tar_.end_file());
    received_.erase(static_cast<uint32_t>(at));
    finished_until_ = at + 1;
    ahead_bytes_ -= std::min(ahead_bytes_, entry.size);
    --ahead_files_;
    return {};
  }

  /// Asks for file `at` and for some behind it.
  void request_until(size_t at) {
    while (requested_ < stats_.size()) {
      const Stat& stat = stats_[requested_];
      if (!has_content(stat)) {
        ++requested_;
        continue;
      }
      auto size = static_cast<uint64_t>(stat.size());
      bool room = ahead_files_ < max_ahead_files && ahead_bytes_ + size <= max_ahead_bytes;
      if (requested_ > at && !room) return;
      Packet packet;
      packet.set_type(Packet::PACKET_REQ);
      packet.set_id(static_cast<uint32_t>(requested_));
      stream_.Write(packet);
      ahead_bytes_ += size;
      ++ahead_files_;
      ++requested_;
    }
  }

  /// The next piece of file `id`; pieces of others wait.
  Result<std::string> content(uint32_t id) {
    while (true) {
      auto waiting = received_.find(id);
      if (waiting != received_.end() && !waiting->second.empty()) {
        std::string bytes = std::move(waiting->second.front());
        waiting->second.pop_front();
        return bytes;
      }
      TRY(Packet packet, next());
      if (packet.type() != Packet::PACKET_DATA || packet.id() < finished_until_) continue;
      if (packet.id() == id) return std::move(*packet.mutable_data());
      if (packet.id() >= requested_)
        return Error(Kind::InvalidArgument, "the client sent a file that nobody asked for");
      waiting_bytes_ += packet.data().size();
      if (waiting_bytes_ > total_ + max_ahead_bytes)
        return Error(Kind::InvalidArgument, "the client sends more than its files hold");
      received_[packet.id()].push_back(std::move(*packet.mutable_data()));
    }
  }

  Stream& stream_;
  SinkOf sink_;
  storage::TarWriter tar_;
  const std::function<void(TreeProgress)>& progress_;
  const Cancelled& cancelled_;
  std::vector<Stat> stats_;
  uint64_t total_ = 0;
  uint64_t sent_ = 0;
  size_t requested_ = 0;       ///< files before it have been asked for
  size_t finished_until_ = 0;  ///< what comes for files before it is not wanted any more
  uint64_t ahead_bytes_ = 0;
  size_t ahead_files_ = 0;
  uint64_t waiting_bytes_ = 0;
  std::map<uint32_t, std::deque<std::string>> received_;
};

}  // namespace

Result<void> fetch_tree(const Session& session, const TreeRequest& request, const WriteBytes& write,
                        const std::function<void(TreeProgress)>& progress, const Cancelled& cancelled) {
  auto stub = moby::filesync::v1::FileSync::NewStub(session.channel());
  grpc::ClientContext context;
  add_values(context, "dir-name", {request.directory});
  if (!request.exclude.empty()) add_values(context, "exclude-patterns", request.exclude);
  if (!request.follow.empty()) add_values(context, "followpaths", request.follow);
  auto stream = stub->DiffCopy(&context);
  auto fetched = Fetch(*stream, write, progress, cancelled).run();
  if (!fetched) {
    context.TryCancel();
    auto status = stream->Finish();
    bool by_client = fetched.error().kind() == Kind::Unavailable && !status.ok();
    if (by_client)
      return to_error(fmt::format("reading \"{}\" of the client", request.directory), status.error_code(),
                      status.error_message());
    return fetched;
  }
  Packet packet;
  while (stream->Read(&packet) && packet.type() != Packet::PACKET_FIN) {
  }
  stream->WritesDone();
  while (stream->Read(&packet)) {
  }
  auto status = stream->Finish();
  if (!status.ok())
    return to_error(fmt::format("reading \"{}\" of the client", request.directory), status.error_code(),
                    status.error_message());
  return {};
}

Result<std::string> fetch_file(const Session& session, const std::string& directory,
                               const std::string& path) {
  std::string archive;
  WriteBytes write = [&archive](std::string_view bytes) -> Result<void> {
    archive.append(bytes);
    if (archive.size() > max_file_bytes) return Error(Kind::Exhausted, "the file is too large");
    return {};
  };
  TreeRequest request{.directory = directory, .follow = {path}};
  if (auto fetched = fetch_tree(session, request, write, {}, [] { return false; }); !fetched)
    return std::move(fetched).error().in("read", path);
  storage::StringSource source(archive);
  storage::BufferedChunks chunks(source);
  storage::ArchiveLimits limits;
  storage::TarReader reader(chunks, limits);
  storage::TarEntry entry;
  std::map<std::string, std::string> links;
  std::map<std::string, std::string> files;
  while (true) {
    TRY(bool more, reader.next(entry));
    if (!more) break;
    if (entry.type == storage::TarType::Symlink || entry.type == storage::TarType::HardLink)
      links[entry.name] = entry.link;
    if (entry.type != storage::TarType::File) continue;
    std::string& content = files[entry.name];
    while (true) {
      TRY(auto piece, reader.data());
      if (!piece) break;
      content.append(piece->bytes);
    }
  }
  std::string name = path;
  for (int hops = 0; hops < 8; ++hops) {
    if (auto found = files.find(name); found != files.end()) return std::move(found->second);
    auto link = links.find(name);
    if (link == links.end()) break;
    size_t slash = name.rfind('/');
    bool relative = !link->second.starts_with('/') && slash != name.npos;
    name = relative ? name.substr(0, slash + 1) + link->second : link->second;
  }
  return failure(Kind::NotFound, "failed to read dockerfile: open {}: no such file or directory", path);
}

}  // namespace berth::buildkit
