// A line of a container's output as syslog (RFC 3164, RFC 5424), journald, fluentd, GELF and Splunk want it.
#include <unistd.h>

#include <ctime>

#include "base/format.h"
#include "base/json.h"
#include "engine/log_drivers.h"
#include "engine/log_splunk.h"
#include "storage/deflate.h"

namespace berth::engine {
namespace {

constexpr size_t largest_gelf_datagram = 8192;
constexpr size_t most_gelf_chunks = 128;

/// Text that stays within one line and field of a syslog message.
std::string plain(std::string_view text) {
  std::string result;
  for (char c : text) result.push_back(c > ' ' && c < 0x7f ? c : '_');
  return result.empty() ? "-" : result;
}

std::tm broken_down(Timestamp time) {
  std::time_t seconds = to_unix_nanoseconds(time) / 1'000'000'000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return parts;
}

std::string syslog_message(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line) {
  using Format = RemoteLog::SyslogFormat;
  constexpr unsigned kError = 3;
  constexpr unsigned kInfo = 6;
  unsigned priority = remote.facility * 8 + (line.is_error ? kError : kInfo);
  std::string tag = plain(origin.tag);
  std::string text;
  if (remote.format == Format::Rfc5424 || remote.format == Format::Rfc5424Micro) {
    std::string stamp = to_rfc3339_fixed(line.time);
    // 2026-01-01T00:00:00.123456789Z: RFC 5424 has microseconds at most.
    stamp = stamp.substr(0, remote.format == Format::Rfc5424 ? 19 : 26) + "Z";
    text = fmt::format("<{}>1 {} {} {} {} {} - ", priority, stamp, plain(origin.host_name), tag, ::getpid(),
                       tag);
  } else {
    constexpr std::string_view months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                           "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    std::tm parts = broken_down(line.time);
    std::string stamp = fmt::format("{} {:2} {:02}:{:02}:{:02}", months[parts.tm_mon], parts.tm_mday,
                                    parts.tm_hour, parts.tm_min, parts.tm_sec);
    std::string host = remote.format == Format::Local ? "" : plain(origin.host_name) + " ";
    text = fmt::format("<{}>{} {}{}[{}]: ", priority, stamp, host, tag, ::getpid());
  }
  text.append(line.text);
  bool is_stream = remote.target.transport == LogTarget::Transport::Tcp ||
                   remote.target.transport == LogTarget::Transport::UnixStream;
  if (is_stream) text.push_back('\n');
  return text;
}

/// systemd's native protocol: NAME=value lines, or NAME, a length and the bytes where a value has line
/// breaks.
void add_field(std::string& message, std::string_view name, std::string_view value) {
  if (value.find('\n') == std::string_view::npos) {
    message.append(name).append("=").append(value).append("\n");
    return;
  }
  message.append(name).append("\n");
  for (int shift = 0; shift < 64; shift += 8)
    message.push_back(static_cast<char>(uint64_t{value.size()} >> shift));
  message.append(value).append("\n");
}

/// Names of journald are upper case, digits and '_', and those that begin with '_' are its own.
std::string field_name(std::string_view name) {
  std::string result;
  for (char c : name) {
    bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    bool digit = c >= '0' && c <= '9';
    result.push_back(letter ? static_cast<char>(c & ~0x20) : digit ? c : '_');
  }
  size_t first = result.find_first_not_of("_0123456789");
  return first == std::string::npos ? std::string() : result.substr(first);
}

std::string journald_message(const LogOrigin& origin, const LogLine& line) {
  std::string message;
  add_field(message, "MESSAGE", line.text);
  add_field(message, "PRIORITY", line.is_error ? "3" : "6");
  add_field(message, "CONTAINER_ID", origin.container_id.substr(0, 12));
  add_field(message, "CONTAINER_ID_FULL", origin.container_id);
  add_field(message, "CONTAINER_NAME", origin.container_name);
  add_field(message, "CONTAINER_TAG", origin.tag);
  add_field(message, "IMAGE_NAME", origin.image_name);
  add_field(message, "SYSLOG_IDENTIFIER", origin.tag);
  add_field(message, "SYSLOG_TIMESTAMP", to_rfc3339_fixed(line.time));
  for (const auto& [name, value] : origin.attributes) {
    if (std::string field = field_name(name); !field.empty()) add_field(message, field, value);
  }
  return message;
}

void append_big_endian(std::string& out, uint64_t value, int bytes) {
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
}

void pack_text(std::string& out, std::string_view text) {
  if (text.size() < 32) {
    out.push_back(static_cast<char>(0xa0 | text.size()));
  } else if (text.size() <= UINT16_MAX) {
    out.push_back('\xda');
    append_big_endian(out, text.size(), 2);
  } else {
    out.push_back('\xdb');
    append_big_endian(out, text.size(), 4);
  }
  out.append(text);
}

/// fluentd's forward protocol, message mode: [tag, time, record] as MessagePack.
std::string fluentd_message(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line) {
  std::map<std::string, std::string> record = origin.attributes;
  record["container_id"] = origin.container_id;
  record["container_name"] = "/" + origin.container_name;
  record["source"] = line.is_error ? "stderr" : "stdout";
  record["log"] = line.text;
  int64_t nanoseconds = to_unix_nanoseconds(line.time);
  std::string out("\x93");
  pack_text(out, origin.tag);
  if (remote.subsecond) {
    out.append("\xd7\x00", 2);  // extension type 0: seconds and nanoseconds
    append_big_endian(out, static_cast<uint64_t>(nanoseconds / 1'000'000'000), 4);
    append_big_endian(out, static_cast<uint64_t>(nanoseconds % 1'000'000'000), 4);
  } else {
    out.push_back('\xce');
    append_big_endian(out, static_cast<uint64_t>(nanoseconds / 1'000'000'000), 4);
  }
  out.push_back('\xde');
  append_big_endian(out, record.size(), 2);
  for (const auto& [name, value] : record) {
    pack_text(out, name);
    pack_text(out, value);
  }
  return out;
}

std::string gelf_text(const LogOrigin& origin, const LogLine& line) {
  constexpr int kError = 3;
  constexpr int kInfo = 6;
  double seconds = static_cast<double>(to_unix_nanoseconds(line.time) / 1'000'000) / 1000;
  Json message = {{"version", "1.1"},
                  {"host", origin.host_name},
                  {"short_message", line.text},
                  {"timestamp", seconds},
                  {"level", line.is_error ? kError : kInfo},
                  {"_command", origin.command},
                  {"_container_id", origin.container_id},
                  {"_container_name", origin.container_name},
                  {"_created", to_rfc3339(origin.created)},
                  {"_image_id", origin.image_id},
                  {"_image_name", origin.image_name},
                  {"_tag", origin.tag}};
  for (const auto& [name, value] : origin.attributes)
    message[name.starts_with('_') ? name : "_" + name] = value;
  return to_json(message);
}

/// As it is where it cannot be compressed.
std::string compressed(const RemoteLog& remote, std::string text) {
  if (remote.compression == RemoteLog::Compression::None) return text;
  auto format = remote.compression == RemoteLog::Compression::Gzip ? storage::DeflateFormat::Gzip
                                                                   : storage::DeflateFormat::Zlib;
  auto packed = storage::deflate_whole(text, format, remote.compression_level);
  return packed ? std::move(*packed) : std::move(text);
}

/// Datagrams beyond 8 KiB are cut into pieces (GELF specification, "Chunking").
std::vector<std::string> gelf_messages(const RemoteLog& remote, const LogOrigin& origin,
                                       const LogLine& line) {
  std::string text = gelf_text(origin, line);
  if (remote.target.transport == LogTarget::Transport::Tcp) {
    text.push_back('\0');
    return {text};
  }
  text = compressed(remote, std::move(text));
  if (text.size() <= largest_gelf_datagram) return {text};
  constexpr size_t piece = largest_gelf_datagram - 12;
  size_t count = (text.size() + piece - 1) / piece;
  std::vector<std::string> pieces;
  if (count > most_gelf_chunks) return pieces;
  for (size_t i = 0; i < count; ++i) {
    std::string chunk("\x1e\x0f");
    append_big_endian(chunk, static_cast<uint64_t>(to_unix_nanoseconds(line.time)) ^ text.size(), 8);
    chunk.push_back(static_cast<char>(i));
    chunk.push_back(static_cast<char>(count));
    pieces.push_back(chunk.append(text, i * piece, piece));
  }
  return pieces;
}

}  // namespace

std::vector<std::string> log_messages(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line) {
  switch (remote.kind) {
    case RemoteLog::Kind::Syslog:
      return {syslog_message(remote, origin, line)};
    case RemoteLog::Kind::Journald:
      return {journald_message(origin, line)};
    case RemoteLog::Kind::Fluentd:
      return {fluentd_message(remote, origin, line)};
    case RemoteLog::Kind::Gelf:
      return gelf_messages(remote, origin, line);
    case RemoteLog::Kind::Splunk:
      if (std::string event = splunk_event(remote, origin, line); !event.empty()) return {std::move(event)};
      return {};
  }
  return {};
}

}  // namespace berth::engine
