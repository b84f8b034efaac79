// D-Bus messages: bytes as the specification has them, and what comes in that is none.
#include "sys/dbus_message.h"

#include <gtest/gtest.h>

namespace berth::sys {
namespace {

using namespace std::string_view_literals;

TEST(DbusMessage, ACallIsAsTheSpecificationHasIt) {
  std::string bytes =
      encode_dbus_call({.path = "/o", .interface = "a.b", .member = "Do"}, 7, DbusArguments().text("x"));
  EXPECT_EQ(bytes,
            "l\1\0\1\6\0\0\0\7\0\0\0\x37\0\0\0"
            "\1\1o\0\2\0\0\0/o\0\0\0\0\0\0"
            "\2\1s\0\3\0\0\0a.b\0\0\0\0\0"
            "\3\1s\0\2\0\0\0Do\0\0\0\0\0\0"
            "\x8\1g\0\1s\0\0"
            "\1\0\0\0x\0"sv);
  auto message = decode_dbus_message(bytes);
  ASSERT_TRUE(message) << message.error().message();
  EXPECT_EQ(message->kind, DbusKind::Call);
  EXPECT_EQ(message->member, "Do");
  EXPECT_EQ(message->signature, "s");
  EXPECT_EQ(DbusReader(message->body).text(), "x");
}

TEST(DbusMessage, PropertiesKeepTheirAlignment) {
  DbusArguments arguments;
  arguments.properties({{"A", true}, {"B", uint64_t{5}}, {"C", std::vector<uint8_t>{1, 2}}});
  EXPECT_EQ(arguments.signature(), "a(sv)");
  EXPECT_EQ(arguments.bytes(),
            "\x3a\0\0\0\0\0\0\0"
            "\1\0\0\0A\0\1b\0\0\0\0\1\0\0\0"
            "\1\0\0\0B\0\1t\0\0\0\0\0\0\0\0"
            "\5\0\0\0\0\0\0\0"
            "\1\0\0\0C\0\2ay\0\0\0\2\0\0\0\1\2"sv);
}

TEST(DbusMessage, NumbersAreAnArray) {
  DbusArguments arguments;
  arguments.text("u").text("").numbers({7, 8});
  EXPECT_EQ(arguments.signature(), "ssau");
  EXPECT_EQ(arguments.bytes(),
            "\1\0\0\0u\0\0\0"
            "\0\0\0\0\0\0\0\0"
            "\x8\0\0\0\7\0\0\0\x8\0\0\0"sv);
}

TEST(DbusMessage, WhatIsCutOffOrNoneIsRefused) {
  std::string bytes =
      encode_dbus_call({.path = "/o", .interface = "a.b", .member = "Do"}, 7, DbusArguments().text("x"));
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_dbus_message(std::string_view(bytes).substr(0, size))) << size;
  for (size_t at : {size_t{0}, size_t{1}, size_t{3}}) {
    std::string other = bytes;
    other[at] = 'B';
    EXPECT_FALSE(decode_dbus_message(other)) << at;
  }
  std::string huge = bytes;
  huge[7] = '\x7f';
  EXPECT_FALSE(dbus_message_size(huge));
  // A text of a header field that is longer than the header.
  std::string long_text = bytes;
  long_text[20] = '\x60';
  EXPECT_FALSE(decode_dbus_message(long_text));
}

TEST(DbusMessage, EveryByteMayBeAnything) {
  std::string bytes = encode_dbus_call({.destination = "d", .path = "/o", .interface = "a.b", .member = "Do"},
                                       7, DbusArguments().text("x").boolean(true));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int value = 0; value < 256; ++value) {
      std::string other = bytes;
      other[at] = static_cast<char>(value);
      auto message = decode_dbus_message(other);
      if (!message) continue;
      DbusReader reader(message->body);
      (void)reader.text();
      (void)reader.number();
    }
  }
}

}  // namespace
}  // namespace berth::sys
