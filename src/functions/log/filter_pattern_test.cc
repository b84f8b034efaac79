// Tests of filter patterns: examples of CloudWatch Logs' documentation, and what is no pattern.
#include "functions/log/filter_pattern.h"

#include <gtest/gtest.h>

namespace berth::functions {
namespace {

bool matches(std::string_view pattern, std::string_view message) {
  auto parsed = FilterPattern::parse(pattern);
  EXPECT_TRUE(parsed.has_value()) << pattern << ": " << (parsed ? "" : parsed.error().message());
  return parsed && parsed->matches(message);
}

TEST(FilterPattern, Words) {
  EXPECT_TRUE(matches("", "anything"));
  EXPECT_TRUE(matches("ERROR", "[ERROR] 400 BAD REQUEST"));
  EXPECT_FALSE(matches("ERROR", "error"));
  EXPECT_TRUE(matches("ERROR ARGUMENTS", "[ERROR] Missing ARGUMENTS"));
  EXPECT_FALSE(matches("ERROR ARGUMENTS", "[ERROR] Missing"));
  EXPECT_TRUE(matches("\"INTERNAL SERVER ERROR\"", "[ERROR 500] INTERNAL SERVER ERROR"));
  EXPECT_FALSE(matches("\"INTERNAL SERVER ERROR\"", "INTERNAL ERROR SERVER"));
  EXPECT_TRUE(matches("?ERROR ?ARGUMENTS", "[ERROR]"));
  EXPECT_FALSE(matches("?ERROR ?ARGUMENTS", "[WARN]"));
  EXPECT_TRUE(matches("ERROR -ARGUMENTS", "[ERROR]"));
  EXPECT_FALSE(matches("ERROR -ARGUMENTS", "[ERROR] ARGUMENTS"));
  EXPECT_FALSE(matches("-\"a b\"", "x a b"));
}

constexpr std::string_view kTrail = R"({"eventType":"UpdateTrail","sourceIPAddress":"111.111.111.111",
  "arrayKey":["value","another value"],"objectList":[{"name":"a","id":1},{"name":"b","id":2}],
  "SomeObject":null,"cluster.name":"c","ThisFlag":true,"code":-1.5e1})";

TEST(FilterPattern, JsonStrings) {
  EXPECT_TRUE(matches(R"({ $.eventType = "UpdateTrail" })", kTrail));
  EXPECT_TRUE(matches("{ $.eventType = UpdateTrail }", kTrail));
  EXPECT_FALSE(matches(R"({ $.eventType = "Update" })", kTrail));
  EXPECT_TRUE(matches("{ $.sourceIPAddress = 111.111.* }", kTrail));
  EXPECT_TRUE(matches("{ $.sourceIPAddress != 123.123.* }", kTrail));
  EXPECT_TRUE(matches(R"({ $.arrayKey[0] = "value" })", kTrail));
  EXPECT_FALSE(matches(R"({ $.arrayKey[2] = "value" })", kTrail));
  EXPECT_TRUE(matches("{ $.objectList[1].id = 2 }", kTrail));
  EXPECT_TRUE(matches(R"({ $.["cluster.name"] = "c" })", kTrail));
  EXPECT_TRUE(matches(R"({ $["cluster.name"] = "c" })", kTrail));
}

TEST(FilterPattern, JsonNumbersAndStates) {
  EXPECT_TRUE(matches("{ $.code = -15 }", kTrail));
  EXPECT_TRUE(matches("{ $.code < 0 && $.code >= -1.5e1 }", kTrail));
  EXPECT_FALSE(matches("{ $.code > 0 }", kTrail));
  EXPECT_TRUE(matches("{ $.SomeObject IS NULL }", kTrail));
  EXPECT_FALSE(matches("{ $.Other IS NULL }", kTrail));
  EXPECT_TRUE(matches("{ $.SomeOtherObject NOT EXISTS }", kTrail));
  EXPECT_FALSE(matches("{ $.SomeObject NOT EXISTS }", kTrail));
  EXPECT_TRUE(matches("{ $.ThisFlag IS TRUE }", kTrail));
  EXPECT_FALSE(matches("{ $.ThisFlag IS FALSE }", kTrail));
  EXPECT_FALSE(matches("{ $.missing != 1 }", kTrail));
}

TEST(FilterPattern, JsonLogic) {
  constexpr std::string_view user = R"({"user":{"email":"John.Doe@example.com","id":"John"},"n":1})";
  EXPECT_TRUE(matches(R"({ ($.user.id = "John") && ($.n = 2 || $.n = 1) })", user));
  EXPECT_FALSE(matches(R"({ ($.user.id = "John") && ($.n = 2 || $.n = 3) })", user));
  // && binds first.
  EXPECT_TRUE(matches("{ $.n = 1 || $.n = 2 && $.n = 3 }", user));
  EXPECT_FALSE(matches("{ $.n = 1 }", "n = 1"));
  EXPECT_FALSE(matches("{ $.n = 1 }", "{\"n\":1"));
}

TEST(FilterPattern, Columns) {
  constexpr std::string_view line =
      "127.0.0.1 Prod frank [10/Oct/2000:13:25:15 -0700] \"GET /index.html HTTP/1.0\" 404 1534\n";
  EXPECT_TRUE(matches("[ip, user_identifier, user, time, request, status_code, size]", line));
  EXPECT_FALSE(matches("[ip, user_identifier]", line));
  EXPECT_TRUE(matches("[ip=127.0.0.*, ..., status_code = 4*, size > 1000]", line));
  EXPECT_FALSE(matches("[ip, ..., status_code = 5*, size]", line));
  EXPECT_TRUE(matches("[..., status_code = 404 || status_code = 410, size]", line));
  EXPECT_TRUE(matches("[ip, id, user, time, request = *html*, ...]", line));
  EXPECT_FALSE(matches("[ip, id, user, ..., size < 1000]", line));
  EXPECT_TRUE(matches("[w1 = ERROR && w1 != WARN, w2]", "ERROR x"));
}

TEST(FilterPattern, RefusesWhatIsNone) {
  for (std::string_view pattern : {"{",
                                   "{ }",
                                   "{ $ = 1 }",
                                   "{ $.a }",
                                   "{ $.a = }",
                                   "{ $.a = \"x }",
                                   "{ $.a > x }",
                                   "{ $.a = 1",
                                   "{ $.a = 1 } x",
                                   "{ $.a[x] = 1 }",
                                   "{ $.a IS }",
                                   "{ $.a NOT }",
                                   "{ $.a = %x% }",
                                   "[",
                                   "[a",
                                   "[a = ]",
                                   "[..., ...]",
                                   "[a = 1 || b = 2]",
                                   "[a] x",
                                   "%x%",
                                   "\"open"}) {
    auto parsed = FilterPattern::parse(pattern);
    EXPECT_FALSE(parsed.has_value()) << pattern;
    if (parsed) continue;
    EXPECT_EQ(parsed.error().kind(), Kind::InvalidArgument) << pattern;
  }
  EXPECT_FALSE(FilterPattern::parse(std::string(1025, 'a')));
  EXPECT_FALSE(FilterPattern::parse("{ " + std::string(200, '(') + "$.a = 1" + std::string(200, ')') + " }"));
}

}  // namespace
}  // namespace berth::functions
