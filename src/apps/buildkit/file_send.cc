// Sending trees: the results of builds that go to a directory of the client.
#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/sync_stream.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>

#include <filesync.grpc.pb.h>
#include "apps/buildkit/file_modes.h"
#include "apps/buildkit/file_sync.h"
#include "apps/buildkit/pulled_chunks.h"
#include "base/format.h"
#include "storage/tar_reader.h"
#include "sys/file.h"

namespace berth::buildkit {
namespace {

using fsutil::types::Packet;
using fsutil::types::Stat;
using Stream = grpc::ClientReaderWriter<Packet, Packet>;

constexpr size_t max_data = size_t{32} << 10;

struct File {
  Stat stat;
  uint64_t offset = 0;  ///< in the spool
  uint64_t size = 0;
};

/// The order in which receivers expect paths: element by element.
struct PathOrder {
  bool operator()(const std::string& a, const std::string& b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
      auto rank = [](char c) { return c == '/' ? 0 : static_cast<int>(static_cast<unsigned char>(c)) + 1; };
      return rank(x) < rank(y);
    });
  }
};
using Files = std::map<std::string, File, PathOrder>;

uint32_t type_bits(storage::TarType type) {
  switch (type) {
    case storage::TarType::Directory:
      return go_mode::dir;
    case storage::TarType::Symlink:
      return go_mode::symlink;
    case storage::TarType::CharDevice:
      return go_mode::device | go_mode::char_device;
    case storage::TarType::BlockDevice:
      return go_mode::device;
    case storage::TarType::Fifo:
      return go_mode::fifo;
    default:
      return 0;
  }
}

std::string clean(std::string name) {
  while (name.starts_with("./")) name.erase(0, 2);
  while (name.starts_with('/')) name.erase(0, 1);
  while (name.ends_with('/')) name.pop_back();
  return name == "." ? std::string() : name;
}

/// Parents that the archive does not name.
void add_parents(Files& files, const std::string& path) {
  for (size_t slash = path.rfind('/'); slash != path.npos && slash > 0; slash = path.rfind('/', slash - 1)) {
    std::string parent = path.substr(0, slash);
    if (files.contains(parent)) return;
    File& file = files[parent];
    file.stat.set_path(parent);
    file.stat.set_mode(go_mode::dir | 0755);
  }
}

Result<void> spool_content(storage::TarReader& reader, const storage::TarEntry& entry, int spool,
                           uint64_t& end, File& file) {
  file.offset = end;
  file.size = entry.size;
  while (true) {
    TRY(auto piece, reader.data());
    if (!piece) break;
    CHECK(sys::pwrite_all(spool, piece->bytes, file.offset + piece->offset));
  }
  end += entry.size;
  return {};
}

Result<Files> read_archive(const std::function<Result<std::string>()>& read, int spool) {
  PulledChunks chunks(read);
  storage::ArchiveLimits limits;
  storage::TarReader reader(chunks, limits);
  storage::TarEntry entry;
  Files files;
  uint64_t end = 0;
  while (true) {
    TRY(bool more, reader.next(entry));
    if (!more) return files;
    std::string path = clean(entry.name);
    if (path.empty()) continue;
    add_parents(files, path);
    File file;
    if (entry.type == storage::TarType::HardLink) {
      // Receivers want a link's target before it, which the order of paths need not give: a file of its own.
      auto target = files.find(clean(entry.link));
      if (target == files.end()) continue;
      file = target->second;
    } else if (entry.type == storage::TarType::File) {
      CHECK(spool_content(reader, entry, spool, end, file));
    }
    if (entry.type != storage::TarType::HardLink) {
      file.stat.set_mode(to_go_mode(static_cast<mode_t>(entry.mode) & 07777u) | type_bits(entry.type));
      file.stat.set_uid(entry.uid);
      file.stat.set_gid(entry.gid);
      file.stat.set_size(static_cast<int64_t>(file.size));
      file.stat.set_mod_time(entry.mtime.seconds * 1'000'000'000);
      if (entry.type == storage::TarType::Symlink) file.stat.set_linkname(entry.link);
      file.stat.set_devmajor(entry.major);
      file.stat.set_devminor(entry.minor);
    }
    file.stat.set_path(path);
    files[path] = std::move(file);
  }
}

Result<bool> write_packet(Stream& stream, const Packet& packet) {
  if (stream.Write(packet)) return true;
  return Error(Kind::Unavailable, "the client closed the stream of the result");
}

Result<void> answer_request(Stream& stream, const File& file, uint32_t id, int spool) {
  std::array<char, max_data> buffer;
  for (uint64_t at = 0; at < file.size;) {
    auto want = static_cast<size_t>(std::min<uint64_t>(buffer.size(), file.size - at));
    ssize_t count = ::pread(spool, buffer.data(), want, static_cast<off_t>(file.offset + at));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return Error::from_errno("read", "the build's result", errno);
    Packet packet;
    packet.set_type(Packet::PACKET_DATA);
    packet.set_id(id);
    packet.set_data(buffer.data(), static_cast<size_t>(count));
    TRY([[maybe_unused]] bool sent, write_packet(stream, packet));
    at += static_cast<uint64_t>(count);
  }
  Packet end;
  end.set_type(Packet::PACKET_DATA);
  end.set_id(id);
  TRY([[maybe_unused]] bool sent, write_packet(stream, end));
  return {};
}

Result<void> serve(Stream& stream, const Files& files, int spool, const Cancelled& cancelled) {
  std::vector<const File*> by_id;
  for (const auto& [path, file] : files) {
    Packet packet;
    packet.set_type(Packet::PACKET_STAT);
    *packet.mutable_stat() = file.stat;
    TRY([[maybe_unused]] bool sent, write_packet(stream, packet));
    by_id.push_back(&file);
  }
  Packet last;
  last.set_type(Packet::PACKET_STAT);
  TRY([[maybe_unused]] bool sent, write_packet(stream, last));
  Packet packet;
  while (stream.Read(&packet)) {
    if (cancelled()) return Error(Kind::Cancelled, "build cancelled");
    if (packet.type() == Packet::PACKET_ERR)
      return failure(Kind::InvalidArgument, "the client could not take the result: {}",
                     packet.data().substr(0, 1024));
    if (packet.type() == Packet::PACKET_FIN) {
      stream.Write(packet);
      return {};
    }
    if (packet.type() != Packet::PACKET_REQ) continue;
    if (packet.id() >= by_id.size())
      return Error(Kind::InvalidArgument, "the client asked for a file that is none");
    CHECK(answer_request(stream, *by_id[packet.id()], packet.id(), spool));
  }
  return Error(Kind::Unavailable, "the client closed the stream of the result");
}

}  // namespace

Result<void> send_tree(const Session& session, int exporter, const std::function<Result<std::string>()>& read,
                       int spool, const Cancelled& cancelled) {
  TRY(Files files, read_archive(read, spool));
  grpc::ClientContext context;
  context.AddMetadata("buildkit-attachable-exporter-id", std::to_string(exporter));
  // The service's method is declared for bytes; to a directory it carries packets.
  grpc::internal::RpcMethod method("/moby.filesync.v1.FileSend/DiffCopy",
                                   grpc::internal::RpcMethod::BIDI_STREAMING, session.channel());
  std::unique_ptr<Stream> stream(grpc::internal::ClientReaderWriterFactory<Packet, Packet>::Create(
      session.channel().get(), method, &context));
  auto served = serve(*stream, files, spool, cancelled);
  if (!served) context.TryCancel();
  stream->WritesDone();
  Packet packet;
  while (served && stream->Read(&packet)) {
  }
  auto status = stream->Finish();
  if (!served && (status.ok() || served.error().kind() != Kind::Unavailable)) return served;
  if (!status.ok()) return to_error("sending the result", status.error_code(), status.error_message());
  return {};
}

}  // namespace berth::buildkit
