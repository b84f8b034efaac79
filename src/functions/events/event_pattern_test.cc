// EventBridge's pattern language: what matches and what does not.
#include "functions/events/event_pattern.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::functions::events {
namespace {

struct Case {
  const char* pattern;
  const char* event;
  bool matches;
};

class Patterns : public testing::TestWithParam<Case> {};

TEST_P(Patterns, Match) {
  auto pattern = EventPattern::parse(GetParam().pattern);
  ASSERT_TRUE(pattern) << pattern.error().message();
  EXPECT_EQ(pattern->matches(*parse_json(GetParam().event)), GetParam().matches)
      << GetParam().pattern << " on " << GetParam().event;
}

INSTANTIATE_TEST_SUITE_P(
    All, Patterns,
    testing::Values(
        Case{R"({"a":["x"]})", R"({"a":"x"})", true}, Case{R"({"a":["x"]})", R"({"a":"y"})", false},
        Case{R"({"a":["x","y"]})", R"({"a":"y","b":1})", true},
        Case{R"({"a":["x"]})", R"({"a":["z","x"]})", true}, Case{R"({"a":["x"]})", R"({})", false},
        Case{R"({"a":[null]})", R"({"a":null})", true}, Case{R"({"a":[3]})", R"({"a":3.0})", true},
        Case{R"({"a":[3]})", R"({"a":"3"})", false}, Case{R"({"a":{"b":[1]}})", R"({"a":{"b":1}})", true},
        Case{R"({"a":{"b":[1]}})", R"({"a":[{"b":2},{"b":1}]})", true},
        Case{R"({"a":{"b":[1]}})", R"({"a":7})", false},
        Case{R"({"a":[{"prefix":"ab"}]})", R"({"a":"abc"})", true},
        Case{R"({"a":[{"prefix":{"equals-ignore-case":"AB"}}]})", R"({"a":"abc"})", true},
        Case{R"({"a":[{"suffix":".png"}]})", R"({"a":"x.png"})", true},
        Case{R"({"a":[{"suffix":".png"}]})", R"({"a":"png"})", false},
        Case{R"({"a":[{"equals-ignore-case":"ABC"}]})", R"({"a":"abc"})", true},
        Case{R"({"a":[{"wildcard":"a*c*"}]})", R"({"a":"abbcd"})", true},
        Case{R"({"a":[{"wildcard":"a*c"}]})", R"({"a":"abcd"})", false},
        Case{R"({"a":[{"anything-but":["x","y"]}]})", R"({"a":"z"})", true},
        Case{R"({"a":[{"anything-but":"x"}]})", R"({"a":"x"})", false},
        Case{R"({"a":[{"anything-but":"x"}]})", R"({})", false},
        Case{R"({"a":[{"anything-but":{"prefix":"x"}}]})", R"({"a":"ab"})", true},
        Case{R"({"a":[{"numeric":[">",0,"<=",5]}]})", R"({"a":5})", true},
        Case{R"({"a":[{"numeric":[">",0,"<=",5]}]})", R"({"a":5.1})", false},
        Case{R"({"a":[{"numeric":["=",1]}]})", R"({"a":"1"})", false},
        Case{R"({"a":[{"cidr":"10.0.0.0/24"}]})", R"({"a":"10.0.0.255"})", true},
        Case{R"({"a":[{"cidr":"10.0.0.0/24"}]})", R"({"a":"10.0.1.1"})", false},
        Case{R"({"a":[{"exists":false}]})", R"({"b":1})", true},
        Case{R"({"a":[{"exists":true}]})", R"({"b":1})", false},
        Case{R"({"a":[{"exists":false}]})", R"({"a":1})", false},
        Case{R"({"$or":[{"a":[1]},{"b":[2]}]})", R"({"b":2})", true},
        Case{R"({"$or":[{"a":[1]},{"b":[2]}]})", R"({"b":3})", false},
        Case{R"({"body":{"$or":[{"a":[1]},{"b":[{"exists":false}]}]}})", R"({"body":{"a":2}})", true},
        Case{R"({})", R"({"a":1})", true}));

TEST(EventPattern, RefusesWhatIsNoPattern) {
  for (const char* text :
       {"", "[]", "{\"a\":1}", "{\"a\":[]}", "{\"a\":[[1]]}", R"({"a":[{"nope":1}]})",
        R"({"a":[{"numeric":[">"]}]})", R"({"a":[{"numeric":["!",1]}]})", R"({"a":[{"exists":"yes"}]})",
        R"({"a":[{"prefix":1}]})", R"({"a":[{"cidr":"x"}]})", R"({"a":[{"prefix":"a","suffix":"b"}]})",
        R"({"a":[{"anything-but":{"numeric":[1]}}]})"}) {
    EXPECT_FALSE(EventPattern::parse(text)) << text;
  }
}

}  // namespace
}  // namespace berth::functions::events
