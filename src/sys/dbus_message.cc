// Writing and reading D-Bus messages.
#include "sys/dbus_message.h"

#include <cstring>

#include "base/format.h"

namespace berth::sys {
namespace {

enum Field : uint8_t {
  kPath = 1,
  kInterface,
  kMember,
  kErrorName,
  kReplySerial,
  kDestination,
  kSender,
  kSignature
};

void align(std::string& bytes, size_t to) {
  while (bytes.size() % to != 0) bytes.push_back('\0');
}

void put_raw(std::string& bytes, uint64_t value, size_t size) {
  for (size_t i = 0; i < size; ++i) bytes.push_back(static_cast<char>(value >> (8 * i) & 0xff));
}

void put_number(std::string& bytes, uint32_t value) {
  align(bytes, 4);
  put_raw(bytes, value, 4);
}

void put_text(std::string& bytes, std::string_view value) {
  put_number(bytes, static_cast<uint32_t>(value.size()));
  bytes.append(value).push_back('\0');
}

void put_signature(std::string& bytes, std::string_view value) {
  bytes.push_back(static_cast<char>(value.size()));
  bytes.append(value).push_back('\0');
}

/// An array whose elements begin at multiples of `element`; `fill` writes them.
template <class Fill>
void put_array(std::string& bytes, size_t element, Fill fill) {
  put_number(bytes, 0);
  size_t length_at = bytes.size() - 4;
  align(bytes, element);
  size_t begin = bytes.size();
  fill();
  auto length = static_cast<uint32_t>(bytes.size() - begin);
  std::memcpy(bytes.data() + length_at, &length, sizeof length);
}

struct VariantWriter {
  std::string& bytes;

  void operator()(bool value) {
    put_signature(bytes, "b");
    put_number(bytes, value ? 1 : 0);
  }
  void operator()(int32_t value) {
    put_signature(bytes, "i");
    put_number(bytes, static_cast<uint32_t>(value));
  }
  void operator()(uint32_t value) {
    put_signature(bytes, "u");
    put_number(bytes, value);
  }
  void operator()(uint64_t value) {
    put_signature(bytes, "t");
    align(bytes, 8);
    put_raw(bytes, value, 8);
  }
  void operator()(const std::string& value) {
    put_signature(bytes, "s");
    put_text(bytes, value);
  }
  void operator()(const std::vector<std::string>& values) {
    put_signature(bytes, "as");
    put_array(bytes, 4, [&] {
      for (const auto& value : values) put_text(bytes, value);
    });
  }
  void operator()(const std::vector<uint32_t>& values) {
    put_signature(bytes, "au");
    put_array(bytes, 4, [&] {
      for (uint32_t value : values) put_number(bytes, value);
    });
  }
  void operator()(const std::vector<uint8_t>& values) {
    put_signature(bytes, "ay");
    put_array(bytes, 1, [&] {
      for (uint8_t value : values) bytes.push_back(static_cast<char>(value));
    });
  }
};

Error corrupt(std::string_view what) {
  return failure(Kind::Corrupt, "D-Bus: {}", what);
}

uint32_t number_at(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

DbusArguments& DbusArguments::text(std::string_view value) {
  signature_ += 's';
  put_text(bytes_, value);
  return *this;
}

DbusArguments& DbusArguments::object(std::string_view path) {
  signature_ += 'o';
  put_text(bytes_, path);
  return *this;
}

DbusArguments& DbusArguments::boolean(bool value) {
  signature_ += 'b';
  put_number(bytes_, value ? 1 : 0);
  return *this;
}

DbusArguments& DbusArguments::numbers(const std::vector<uint32_t>& values) {
  signature_ += "au";
  put_array(bytes_, 4, [&] {
    for (uint32_t value : values) put_number(bytes_, value);
  });
  return *this;
}

DbusArguments& DbusArguments::properties(const std::vector<DbusProperty>& properties) {
  signature_ += "a(sv)";
  put_array(bytes_, 8, [&] {
    for (const auto& property : properties) {
      align(bytes_, 8);
      put_text(bytes_, property.name);
      std::visit(VariantWriter{bytes_}, property.value);
    }
  });
  return *this;
}

DbusArguments& DbusArguments::no_auxiliary_units() {
  signature_ += "a(sa(sv))";
  put_array(bytes_, 8, [] {});
  return *this;
}

std::string encode_dbus_call(const DbusCall& call, uint32_t serial, const DbusArguments& arguments) {
  std::string bytes = "l";
  bytes.push_back(static_cast<char>(DbusKind::Call));
  bytes.push_back('\0');  // flags
  bytes.push_back('\1');  // version
  put_number(bytes, static_cast<uint32_t>(arguments.bytes().size()));
  put_number(bytes, serial);
  put_array(bytes, 8, [&] {
    auto field = [&](Field code, char type, std::string_view value) {
      if (value.empty()) return;
      align(bytes, 8);
      bytes.push_back(static_cast<char>(code));
      put_signature(bytes, std::string_view(&type, 1));
      if (type == 'g')
        put_signature(bytes, value);
      else
        put_text(bytes, value);
    };
    field(kPath, 'o', call.path);
    field(kDestination, 's', call.destination);
    field(kInterface, 's', call.interface);
    field(kMember, 's', call.member);
    field(kSignature, 'g', arguments.signature());
  });
  align(bytes, 8);
  return bytes + arguments.bytes();
}

Result<size_t> dbus_message_size(std::string_view start) {
  if (start.size() < kDbusHeaderStart) return corrupt("a message that is cut off");
  if (start[0] != 'l' || start[3] != 1) return corrupt("a message of another byte order or version");
  uint64_t fields = number_at(start, 12);
  uint64_t size = kDbusHeaderStart + (fields + 7) / 8 * 8 + number_at(start, 4);
  if (size > kMaxDbusMessage) return corrupt("a message without measure");
  return static_cast<size_t>(size);
}

bool DbusReader::align(size_t to) {
  at_ = (at_ + to - 1) / to * to;
  return at_ <= bytes_.size();
}

std::optional<uint8_t> DbusReader::byte() {
  if (at_ >= bytes_.size()) return std::nullopt;
  return static_cast<uint8_t>(bytes_[at_++]);
}

std::optional<uint32_t> DbusReader::number() {
  if (!align(4) || bytes_.size() - at_ < 4) return std::nullopt;
  at_ += 4;
  return number_at(bytes_, at_ - 4);
}

std::optional<std::string> DbusReader::text() {
  auto size = number();
  if (!size || bytes_.size() - at_ <= *size) return std::nullopt;
  std::string value(bytes_.substr(at_, *size));
  at_ += size_t{*size} + 1;
  return value;
}

std::optional<std::string> DbusReader::signature() {
  auto size = byte();
  if (!size || bytes_.size() - at_ <= *size) return std::nullopt;
  std::string value(bytes_.substr(at_, *size));
  at_ += size_t{*size} + 1;
  return value;
}

Result<DbusMessage> decode_dbus_message(std::string_view bytes) {
  TRY(size_t size, dbus_message_size(bytes));
  if (size != bytes.size()) return corrupt("a message of another size than it says");
  DbusMessage message;
  auto kind = static_cast<uint8_t>(bytes[1]);
  if (kind < 1 || kind > 4) return corrupt("a message of no kind");
  message.kind = static_cast<DbusKind>(kind);
  size_t body = size - number_at(bytes, 4);
  DbusReader reader(bytes.substr(0, kDbusHeaderStart + number_at(bytes, 12)));
  reader.at_ = kDbusHeaderStart;
  while (reader.at_ < reader.bytes_.size()) {
    if (!reader.align(8)) break;
    if (reader.at_ == reader.bytes_.size()) break;
    auto code = reader.byte();
    auto type = reader.signature();
    if (!code || !type) return corrupt("a header that is cut off");
    std::optional<std::string> text;
    if (*type == "u") {
      auto number = reader.number();
      if (!number) return corrupt("a header that is cut off");
      if (*code == kReplySerial) message.reply_serial = *number;
      continue;
    }
    if (*type == "g")
      text = reader.signature();
    else if (*type == "s" || *type == "o")
      text = reader.text();
    if (!text) return corrupt("a header field that cannot be read");
    if (*code == kPath)
      message.path = std::move(*text);
    else if (*code == kInterface)
      message.interface = std::move(*text);
    else if (*code == kMember)
      message.member = std::move(*text);
    else if (*code == kErrorName)
      message.error_name = std::move(*text);
    else if (*code == kSignature)
      message.signature = std::move(*text);
  }
  message.body = bytes.substr(body);
  return message;
}

}  // namespace berth::sys
