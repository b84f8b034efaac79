// Tests of expressions.
#include "engine/expression.h"

#include <gtest/gtest.h>

#include <string>

namespace berth::engine {
namespace {

bool matches(std::string_view expression, std::string_view text) {
  return Expression::compile(expression).value().matches(text);
}

TEST(Expression, MatchesAnywhere) {
  EXPECT_TRUE(matches("b+c", "abbcd"));
  EXPECT_FALSE(matches("^b+c", "abbcd"));
  EXPECT_TRUE(matches("(?i)^WEB_", "web_1"));  // Go's flags
  EXPECT_TRUE(matches("", "anything"));
}

TEST(Expression, RefusesWhatIsNone) {
  for (const std::string& text : {std::string("["), std::string("(?=x)"), std::string("a\\"),
                                  std::string(5000, 'a'), std::string("((a{1,1000}){1,1000}){1,1000}")}) {
    EXPECT_EQ(Expression::compile(text).error().kind(), Kind::InvalidArgument) << text.substr(0, 40);
  }
}

TEST(Expression, TakesTimeInProportionToTheText) {
  // One that tries every way to divide the text would not come back.
  EXPECT_FALSE(matches("^(a+)+$", std::string(100'000, 'a') + "b"));
}

}  // namespace
}  // namespace berth::engine
