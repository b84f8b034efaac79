// Tests of how /proc tells that somebody debugs.
#include "sys/debugger.h"

#include <gtest/gtest.h>

#include <array>

namespace berth::sys {
namespace {

constexpr std::string_view kHead = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when\n";
constexpr std::array<uint16_t, 2> kOwn = {9001, 4566};

std::string table(std::initializer_list<std::string_view> lines) {
  std::string text(kHead);
  for (std::string_view line : lines) text.append(line).append("\n");
  return text;
}

TEST(Debugger, IsATracer) {
  EXPECT_TRUE(has_tracer("Name:\tx\nTracerPid:\t412\nUid:\t0\n"));
  EXPECT_FALSE(has_tracer("Name:\tx\nTracerPid:\t0\nUid:\t0\n"));
  EXPECT_FALSE(has_tracer("Name:\tTracerPid: 7\n"));
  EXPECT_FALSE(has_tracer("Name:\tx\nTracerPid:"));
}

TEST(Debugger, IsAClientFromOutside) {
  std::string_view listens = "   0: 00000000:162E 00000000:0000 0A 00000000:00000000";
  EXPECT_FALSE(has_client(table({listens}), kOwn));
  EXPECT_TRUE(has_client(table({listens, "   1: 020011AC:162E 010011AC:D431 01 00000000"}), kOwn));
  // Its own connections, those to others, and one that is closing.
  EXPECT_FALSE(has_client(table({listens, "   1: 0100007F:162E 0100007F:D431 01 00000000"}), kOwn));
  EXPECT_FALSE(has_client(table({listens, "   1: 020011AC:D431 010011AC:162E 01 00000000"}), kOwn));
  EXPECT_FALSE(has_client(table({listens, "   1: 020011AC:162E 010011AC:D431 06 00000000"}), kOwn));
}

TEST(Debugger, IsNotWhoUsesTheRuntimeApi) {
  EXPECT_FALSE(has_client(
      table({"   0: 0100007F:2329 00000000:0000 0A 0", "   1: 020011AC:2329 010011AC:D431 01 0"}), kOwn));
}

TEST(Debugger, IsAClientOfIpv6) {
  std::string_view listens =
      "   0: 00000000000000000000000000000000:240D 00000000000000000000000000000000:0000 0A 0";
  EXPECT_TRUE(has_client(
      table({listens,
             "   1: 0000000000000000FFFF0000020011AC:240D 0000000000000000FFFF0000010011AC:D431 01 0"}),
      kOwn));
  EXPECT_FALSE(has_client(
      table({listens,
             "   1: 0000000000000000FFFF00000100007F:240D 0000000000000000FFFF00000100007F:D431 01 0"}),
      kOwn));
  EXPECT_FALSE(has_client(
      table({listens,
             "   1: 00000000000000000000000001000000:240D 00000000000000000000000001000000:D431 01 0"}),
      kOwn));
}

TEST(Debugger, IsNotInWhatCannotBeRead) {
  EXPECT_FALSE(has_client("", kOwn));
  EXPECT_FALSE(has_client("x\n: : :\n   0: zz:zz 00:00 0A\n0: 00000000:FFFFF 0:0 01\n", kOwn));
  EXPECT_FALSE(is_debugged({}, kOwn));
}

}  // namespace
}  // namespace berth::sys
