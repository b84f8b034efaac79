// D-Bus messages as bytes: what is needed to call a service's methods and to hear its answers and signals.
// Pure. Little-endian, version 1 (the D-Bus specification, "Message Protocol"). Whatever comes in is bounded
// and checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace berth::sys {

/// b, i, u, t, s, as, au, ay.
using DbusValue = std::variant<bool, int32_t, uint32_t, uint64_t, std::string, std::vector<std::string>,
                               std::vector<uint32_t>, std::vector<uint8_t>>;

struct DbusProperty {
  std::string name;
  DbusValue value;
};

/// The arguments of a call, one after the other; the signature grows with them.
class DbusArguments {
 public:
  DbusArguments& text(std::string_view value);
  DbusArguments& object(std::string_view path);
  DbusArguments& boolean(bool value);
  /// au
  DbusArguments& numbers(const std::vector<uint32_t>& values);
  /// a(sv)
  DbusArguments& properties(const std::vector<DbusProperty>& properties);
  /// a(sa(sv)) without elements: units that are to be made beside the one.
  DbusArguments& no_auxiliary_units();

  const std::string& signature() const { return signature_; }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string signature_;
  std::string bytes_;
};

struct DbusCall {
  std::string destination;  ///< empty where the other end is the service itself
  std::string path;
  std::string interface;
  std::string member;
};

/// A method call, whole.
std::string encode_dbus_call(const DbusCall& call, uint32_t serial, const DbusArguments& arguments);

enum class DbusKind : uint8_t { Call = 1, Reply = 2, Error = 3, Signal = 4 };

struct DbusMessage {
  DbusKind kind = DbusKind::Signal;
  uint32_t reply_serial = 0;
  std::string path, interface, member, error_name, signature;
  std::string body;
};

constexpr size_t kDbusHeaderStart = 16;
constexpr size_t kMaxDbusMessage = 4u << 20;

/// The size of a message of which the first kDbusHeaderStart bytes are here. Corrupt: no message, one of
/// another byte order or version, or one beyond kMaxDbusMessage.
Result<size_t> dbus_message_size(std::string_view start);
/// A whole message. Corrupt when it is none.
Result<DbusMessage> decode_dbus_message(std::string_view bytes);

/// Reads a body in order. Nothing where the bytes end.
class DbusReader {
 public:
  explicit DbusReader(std::string_view bytes) : bytes_(bytes) {}
  std::optional<uint32_t> number();
  /// s and o.
  std::optional<std::string> text();

 private:
  friend Result<DbusMessage> decode_dbus_message(std::string_view);
  bool align(size_t to);
  std::optional<uint8_t> byte();
  /// g
  std::optional<std::string> signature();
  std::string_view bytes_;
  size_t at_ = 0;
};

}  // namespace berth::sys
