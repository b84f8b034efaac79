// Tests of base: formats round-trip, and malformed input is refused.
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/id.h"
#include "base/json.h"
#include "base/rollback.h"
#include "base/sha256.h"

namespace berth {
namespace {

TEST(Bytes, Base64RoundTripsAndAcceptsBothAlphabets) {
  for (std::string text : {"", "a", "ab", "abc", "\xff\xfe\xfd\xfc"}) {
    EXPECT_EQ(from_base64(to_base64(text)).value(), text);
  }
  EXPECT_EQ(from_base64("__79").value(), from_base64("//79").value());
  EXPECT_FALSE(from_base64("a"));
  EXPECT_FALSE(from_base64("a*bc"));
}

TEST(Digest, RefusesWhatCouldLeaveTheBlobFolder) {
  EXPECT_FALSE(Digest::parse("sha256:../../etc/passwd"));
  EXPECT_FALSE(Digest::parse("md5:d41d8cd98f00b204e9800998ecf8427e"));
  EXPECT_EQ(sha256("").str(), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Clock, FormatsAsGoDoes) {
  Timestamp time = parse_rfc3339("2026-11-24T09:30:00.120+02:00").value();
  EXPECT_EQ(to_rfc3339(time), "2026-11-24T07:30:00.12Z");
  EXPECT_EQ(to_rfc3339_fixed(time), "2026-11-24T07:30:00.120000000Z");
  EXPECT_EQ(to_rfc3339(Timestamp{}), "0001-01-01T00:00:00Z");
  EXPECT_FALSE(parse_rfc3339("2026-13-01T00:00:00Z"));
  EXPECT_FALSE(parse_rfc3339("yesterday"));
}

TEST(Clock, ParsesDurationsAndReferences) {
  using namespace std::chrono_literals;
  EXPECT_EQ(parse_duration("1h30m").value(), 90min);
  EXPECT_EQ(parse_duration("1.5s").value(), 1500ms);
  EXPECT_EQ(parse_duration("300ms").value(), 300ms);
  EXPECT_FALSE(parse_duration("10"));
  EXPECT_FALSE(parse_duration("1e400h"));
  Timestamp now = from_unix_nanoseconds(1'000'000'000'000);
  EXPECT_EQ(to_unix_nanoseconds(parse_time_reference("10s", now).value()), 990'000'000'000);
  EXPECT_EQ(to_unix_nanoseconds(parse_time_reference("5.25", now).value()), 5'250'000'000);
}

TEST(Json, RefusesDepthAndTrailingContent) {
  EXPECT_FALSE(parse_json(std::string(100, '[') + std::string(100, ']')));
  EXPECT_FALSE(parse_json("{} {}"));
  EXPECT_TRUE(parse_json("{\"a\":\"[[[\"}"));
  Json object = parse_json(R"({"n": 4, "s": "x", "big": 18446744073709551615})").value();
  EXPECT_EQ(json_int(object, "n").value(), 4);
  EXPECT_FALSE(json_int(object, "s"));
  EXPECT_FALSE(json_int(object, "big"));
  EXPECT_EQ(json_string(object, "missing", "d").value(), "d");
  // As Go reads it: the exact name first, any case after that.
  Json folded = parse_json(R"({"detachKeys": "ctrl-p", "TTY": true, "tty": false, "gone": null})").value();
  EXPECT_EQ(json_string(folded, "DetachKeys").value(), "ctrl-p");
  EXPECT_FALSE(json_bool(folded, "tty").value());
  EXPECT_EQ(json_member(folded, "Gone"), nullptr);
  Json labels = parse_json(R"({"l": {"a": null, "b": "x"}, "wrong": {"a": 1}})").value();
  EXPECT_EQ(json_string_map(labels, "l").value(),
            (std::map<std::string, std::string>{{"a", ""}, {"b", "x"}}));
  EXPECT_FALSE(json_string_map(labels, "wrong"));
}

TEST(Id, NamesFollowDockersGrammar) {
  EXPECT_EQ(random_id().size(), 64u);
  EXPECT_TRUE(is_valid_name(random_name()));
  EXPECT_FALSE(is_valid_name("-x"));
  EXPECT_FALSE(is_valid_name("a"));
  EXPECT_FALSE(is_valid_name("a/b"));
}

TEST(Rollback, RunsInReverseUnlessKept) {
  std::string order;
  {
    Rollback rollback;
    rollback.add([&] { order += "a"; });
    rollback.add([&] { order += "b"; });
  }
  EXPECT_EQ(order, "ba");
  {
    Rollback rollback;
    rollback.add([&] { order += "c"; });
    rollback.keep();
  }
  EXPECT_EQ(order, "ba");
}

}  // namespace
}  // namespace berth
