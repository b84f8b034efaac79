// criu's RPC on the wire.
#include "launch/criu_messages.h"

#include <sched.h>

#include "base/format.h"

namespace berth::launch {
namespace {

enum class Wire : uint32_t { Varint = 0, Fixed64 = 1, Bytes = 2, Fixed32 = 5 };

/// The fields of a message, one after the other.
class Writer {
 public:
  void number(uint32_t field, uint64_t value) {
    tag(field, Wire::Varint);
    varint(value);
  }
  void flag(uint32_t field, bool value) {
    if (value) number(field, 1);
  }
  void bytes(uint32_t field, std::string_view value) {
    tag(field, Wire::Bytes);
    varint(value.size());
    text_.append(value);
  }
  void text(uint32_t field, std::string_view value) {
    if (!value.empty()) bytes(field, value);
  }
  std::string take() { return std::move(text_); }

 private:
  void tag(uint32_t field, Wire wire) { varint(uint64_t{field} << 3 | static_cast<uint32_t>(wire)); }
  void varint(uint64_t value) {
    for (; value >= 0x80; value >>= 7) text_.push_back(static_cast<char>(value | 0x80));
    text_.push_back(static_cast<char>(value));
  }
  std::string text_;
};

struct Field {
  uint32_t number = 0;
  uint64_t value = 0;      ///< of a varint
  std::string_view bytes;  ///< of a text or a message
};

class Reader {
 public:
  explicit Reader(std::string_view bytes) : rest_(bytes) {}
  bool done() const { return rest_.empty(); }

  Result<Field> next() {
    TRY(uint64_t tag, varint());
    Field field{.number = static_cast<uint32_t>(tag >> 3)};
    switch (static_cast<Wire>(tag & 7)) {
      case Wire::Varint: {
        TRY(field.value, varint());
        return field;
      }
      case Wire::Bytes: {
        TRY(uint64_t size, varint());
        TRY(field.bytes, take(size));
        return field;
      }
      case Wire::Fixed64:
        CHECK(take(8));
        return field;
      case Wire::Fixed32:
        CHECK(take(4));
        return field;
    }
    return broken();
  }

 private:
  static Error broken() {
    return Error(Kind::Corrupt, "criu answers with something that is no message of its");
  }
  Result<uint64_t> varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (rest_.empty()) return broken();
      auto byte = static_cast<uint8_t>(rest_.front());
      rest_.remove_prefix(1);
      value |= uint64_t{byte & 0x7fU} << shift;
      if (byte < 0x80) return value;
    }
    return broken();
  }
  Result<std::string_view> take(uint64_t size) {
    if (size > rest_.size()) return broken();
    std::string_view part = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return part;
  }
  std::string_view rest_;
};

std::string pair_of(std::string_view first, std::string_view second) {
  Writer message;
  message.text(1, first);
  message.bytes(2, second);
  return message.take();
}

/// A negative descriptor is none. Numbers of int32 are written as 64 bits.
void put_descriptor(Writer& message, uint32_t field, int descriptor) {
  if (descriptor >= 0) message.number(field, static_cast<uint64_t>(descriptor));
}

std::string encode_options(const CriuOptions& options) {
  constexpr uint64_t kLogDebug = 4;
  Writer message;
  put_descriptor(message, 1, options.images);
  if (options.pid > 0) message.number(2, static_cast<uint64_t>(options.pid));
  message.flag(3, options.leave_running);
  message.flag(4, options.external_unix_sockets);
  message.flag(5, options.tcp_established);
  message.flag(6, options.evasive_devices);
  message.flag(7, options.shell_job);
  message.flag(8, options.file_locks);
  message.number(9, kLogDebug);
  message.text(10, options.log_file);
  if (!options.page_server.empty()) {
    Writer server;
    server.text(1, options.page_server);
    server.number(2, options.page_server_port);
    message.bytes(11, server.take());
  }
  message.flag(12, true);  // notifications
  message.text(13, options.root);
  message.text(14, options.parent_images);
  message.flag(15, options.track_memory);
  message.flag(16, options.auto_dedup);
  put_descriptor(message, 17, options.work);
  message.flag(18, options.link_remap);
  for (const auto& [controller, path] : options.cgroup_roots) message.bytes(25, pair_of(controller, path));
  message.flag(26, options.restore_sibling);
  for (const auto& [key, descriptor] : options.inherited) {
    Writer inherited;
    inherited.bytes(1, key);
    inherited.number(2, static_cast<uint64_t>(descriptor));
    message.bytes(27, inherited.take());
  }
  message.number(34, static_cast<uint32_t>(options.cgroups));
  for (const auto& each : options.external) message.bytes(37, each);
  if (options.empty_network) message.number(38, CLONE_NEWNET);
  for (const auto& [type, path] : options.joined) message.bytes(39, pair_of(type, path));
  message.text(44, options.freezer);
  message.flag(46, options.tcp_skip_in_flight);
  message.flag(48, options.lazy_pages);
  message.flag(50, true);  // terminals whose other end is ours
  message.text(51, options.config_file);
  message.flag(52, options.tcp_close);
  message.text(53, options.lsm_profile);
  message.text(63, options.lsm_mount_context);
  if (options.network_lock) message.number(64, static_cast<uint32_t>(*options.network_lock));
  return message.take();
}

Result<void> read_notification(std::string_view bytes, CriuAnswer& answer) {
  Reader reader(bytes);
  while (!reader.done()) {
    TRY(Field field, reader.next());
    if (field.number == 1) answer.script = field.bytes;
    if (field.number == 2) answer.pid = static_cast<pid_t>(field.value);
  }
  return {};
}

Result<void> read_restored(std::string_view bytes, CriuAnswer& answer) {
  Reader reader(bytes);
  while (!reader.done()) {
    TRY(Field field, reader.next());
    if (field.number == 1) answer.pid = static_cast<pid_t>(field.value);
  }
  return {};
}

Result<void> read_features(std::string_view bytes, CriuAnswer& answer) {
  Reader reader(bytes);
  while (!reader.done()) {
    TRY(Field field, reader.next());
    if (field.number == 1) answer.memory_tracking = field.value != 0;
    if (field.number == 2) answer.lazy_pages = field.value != 0;
  }
  return {};
}

Result<void> read_version(std::string_view bytes, CriuAnswer& answer) {
  uint64_t parts[3] = {};  // major, minor, sublevel
  Reader reader(bytes);
  while (!reader.done()) {
    TRY(Field field, reader.next());
    if (field.number == 1) parts[0] = field.value;
    if (field.number == 2) parts[1] = field.value;
    if (field.number == 4) parts[2] = field.value;
  }
  for (uint64_t& part : parts) part = part < 100 ? part : 99;
  answer.version = static_cast<int>(parts[0] * 10'000 + parts[1] * 100 + parts[2]);
  return {};
}

}  // namespace

std::string encode_criu_request(CriuAction action, const CriuOptions& options) {
  Writer message;
  message.number(1, static_cast<uint32_t>(action));
  message.bytes(2, encode_options(options));
  return message.take();
}

std::string encode_criu_question(CriuAction action) {
  Writer message;
  message.number(1, static_cast<uint32_t>(action));
  return message.take();
}

std::string encode_criu_feature_check(bool memory_tracking, bool lazy_pages) {
  Writer features;
  features.flag(1, memory_tracking);
  features.flag(2, lazy_pages);
  Writer message;
  message.number(1, static_cast<uint32_t>(CriuAction::FeatureCheck));
  message.bytes(5, features.take());
  return message.take();
}

std::string encode_criu_consent(bool success) {
  Writer message;
  message.number(1, static_cast<uint32_t>(CriuAction::Notify));
  message.number(3, success ? 1 : 0);
  return message.take();
}

Result<CriuAnswer> decode_criu_answer(std::string_view bytes) {
  CriuAnswer answer;
  Reader reader(bytes);
  while (!reader.done()) {
    TRY(Field field, reader.next());
    switch (field.number) {
      case 1:
        answer.action = static_cast<CriuAction>(field.value);
        break;
      case 2:
        answer.success = field.value != 0;
        break;
      case 4:
        CHECK(read_restored(field.bytes, answer));
        break;
      case 5:
        CHECK(read_notification(field.bytes, answer));
        break;
      case 7:
        answer.error = static_cast<int>(field.value);
        break;
      case 8:
        CHECK(read_features(field.bytes, answer));
        break;
      case 9:
        answer.message = field.bytes;
        break;
      case 10:
        CHECK(read_version(field.bytes, answer));
        break;
      default:
        break;
    }
  }
  return answer;
}

}  // namespace berth::launch
