// Expansion of words: modifiers, quotes, escapes, splitting, and the bounds that hostile input meets.
#include "spec/shell_words.h"

#include <gtest/gtest.h>

#include <map>

namespace berth::spec {
namespace {

const std::map<std::string, std::string, std::less<>> variables = {
    {"PWD", "/home"}, {"SHELL", "bash"}, {"EMPTY", ""},      {"PATH_LIKE", "a/b/c.tar.gz"},
    {"UTF", "äöü"},   {"STAR", "a*b*c"}, {"TWO", "one two"}, {"DOTS", "..a..b..c.."},
    {"1", "first"}};

std::optional<std::string> lookup(std::string_view name) {
  const auto found = variables.find(name);
  if (found == variables.end()) return std::nullopt;
  return found->second;
}

struct Case {
  const char* source;
  const char* expected;  ///< starting with "error:": part of the message
};

class WordTable : public testing::TestWithParam<Case> {};

TEST_P(WordTable, Expands) {
  const auto [source, expected] = GetParam();
  const auto result = expand_word(source, lookup);
  const std::string_view want = expected;
  if (want.starts_with("error:")) {
    ASSERT_FALSE(result) << source << " gave " << *result;
    EXPECT_NE(result.error().message().find(want.substr(6)), std::string::npos) << result.error().message();
    EXPECT_EQ(result.error().kind(), Kind::InvalidArgument);
    return;
  }
  ASSERT_TRUE(result) << source << ": " << result.error().message();
  EXPECT_EQ(*result, want) << source;
}

INSTANTIATE_TEST_SUITE_P(Plain, WordTable,
                         testing::Values(Case{"", ""}, Case{"hello", "hello"}, Case{"he'll'o", "hello"},
                                         Case{"he'llo", "error:single-quote"}, Case{"he\\'llo", "he'llo"},
                                         Case{"\"he'llo\"", "he'llo"}, Case{"\"he\\\"llo\"", "he\"llo"},
                                         Case{"\"hello", "error:double-quote"}, Case{"'he$PWD'", "he$PWD"},
                                         Case{"\"he$PWD\"", "he/home"}, Case{"he\\$PWD", "he$PWD"},
                                         Case{"a\\", "a"}, Case{"\"a\\z\"", "a\\z"}, Case{"a\\z", "az"},
                                         Case{"hello   there", "hello   there"}, Case{"a<b<<c", "a<b<<c"}));
INSTANTIATE_TEST_SUITE_P(
    Variables, WordTable,
    testing::Values(Case{"$PWD", "/home"}, Case{"${PWD}", "/home"}, Case{"he$PWD.", "he/home."},
                    Case{"$NONE", ""}, Case{"${NONE}x", "x"}, Case{"$", "$"}, Case{"$.", "$."},
                    Case{"a$/b", "a$/b"}, Case{"$1st", "firstst"}, Case{"$@x", "x"}, Case{"$$PWD", "PWD"},
                    Case{"${PWD", "error:missing '}'"}, Case{"${", "error:missing '}'"},
                    Case{"${}", "error:bad substitution"}, Case{"${{a}}", "error:bad substitution"},
                    Case{"${:x}", "error:bad substitution"},
                    Case{"${PWD!x}", "error:unsupported modifier (!)"},
                    Case{"${PWD:x}", "error:unsupported modifier (:x)"},
                    Case{"${PWD:", "error:missing '}'"}));
INSTANTIATE_TEST_SUITE_P(
    Defaults, WordTable,
    testing::Values(Case{"${NONE:-word}", "word"}, Case{"${NONE-word}", "word"},
                    Case{"${EMPTY:-word}", "word"}, Case{"${EMPTY-word}", ""}, Case{"${PWD:-word}", "/home"},
                    Case{"${NONE:-$SHELL}", "bash"}, Case{"${NONE:-${NONE:-deep}}", "deep"},
                    Case{"${NONE:-\"a b\"}", "a b"}, Case{"${NONE:-\\}}", "}"}, Case{"${PWD:+word}", "word"},
                    Case{"${PWD+word}", "word"}, Case{"${EMPTY:+word}", ""}, Case{"${EMPTY+word}", "word"},
                    Case{"${NONE:+word}", ""}, Case{"${NONE+word}", ""}, Case{"${PWD:?message}", "/home"},
                    Case{"${NONE:?message}", "error:NONE: message"},
                    Case{"${NONE?}", "error:NONE: is not allowed to be unset"},
                    Case{"${EMPTY:?}", "error:EMPTY: is not allowed to be empty"},
                    Case{"${EMPTY?message}", ""}, Case{"${NONE:-word", "error:missing '}'"}));
INSTANTIATE_TEST_SUITE_P(
    Patterns, WordTable,
    testing::Values(
        Case{"${PATH_LIKE#*/}", "b/c.tar.gz"}, Case{"${PATH_LIKE##*/}", "c.tar.gz"},
        Case{"${PATH_LIKE%.*}", "a/b/c.tar"}, Case{"${PATH_LIKE%%.*}", "a/b/c"},
        Case{"${PATH_LIKE#x}", "a/b/c.tar.gz"}, Case{"${PATH_LIKE%/*}", "a/b"}, Case{"${PATH_LIKE%%/*}", "a"},
        Case{"${SHELL#?}", "ash"}, Case{"${SHELL%??}", "ba"}, Case{"${STAR#a\\*}", "b*c"},
        Case{"${STAR##a\\*b}", "*c"}, Case{"${DOTS#.}", ".a..b..c.."}, Case{"${UTF#?}", "öü"},
        Case{"${UTF%?}", "äö"}, Case{"${NONE#x}", ""}, Case{"${SHELL##*}", ""}, Case{"${SHELL#*}", "bash"},
        Case{"${SHELL#\\x}", "error:invalid escape"}, Case{"${PWD:#x}", "error:unsupported modifier (:#)"},
        Case{"${PATH_LIKE/\\//-}", "a-b/c.tar.gz"}, Case{"${PATH_LIKE//\\//-}", "a-b-c.tar.gz"},
        Case{"${SHELL/a*/X}", "bX"}, Case{"${STAR//\\*/+}", "a+b+c"}, Case{"${SHELL/nope/X}", "bash"},
        Case{"${SHELL/a}", "error:missing '/' in ${}"}, Case{"${SHELL/a/b", "error:missing '}'"},
        Case{"${SHELL//?/-}", "----"}, Case{"${SHELL//*/y}", "y"}, Case{"${NONE/a/b}", ""}));

TEST(ShellWords, SplitsAfterExpansionButNotInQuotes) {
  const auto words = [](std::string_view source) { return expand_words(source, lookup)->words; };
  using List = std::vector<std::string>;
  EXPECT_EQ(words("a  b\tc"), (List{"a", "b", "c"}));
  EXPECT_EQ(words("$TWO three"), (List{"one", "two", "three"}));
  EXPECT_EQ(words("\"$TWO\" three"), (List{"one two", "three"}));
  EXPECT_EQ(words("a\\ b c"), (List{"a b", "c"}));
  EXPECT_EQ(words("x${TWO}y"), (List{"xone", "twoy"}));
  EXPECT_EQ(words("pre${NONE:-mid}post"), (List{"premidpost"}));
  EXPECT_EQ(words("cat << EOF"), (List{"cat", "<< EOF"}));
  EXPECT_EQ(words("''"), List{});
}

TEST(ShellWords, KeepsQuotesEscapesAndUnsetVariablesWhenAsked) {
  const ShellWordsOptions raw{.quotes = Quotes::Keep, .escapes = Escapes::Keep, .unset = Unset::Keep};
  EXPECT_EQ(*expand_word("a\\ b 'c' \"$NONE ${NONE:-x} $PWD\"", lookup, raw),
            "a\\ b 'c' \"$NONE ${NONE:-x} /home\"");
  EXPECT_EQ(*expand_word("it's \"$SHELL\"", lookup, {.quotes = Quotes::Literal}), "it's \"bash\"");
}

TEST(ShellWords, HonoursTheEscapeDirective) {
  const ShellWordsOptions windows{.escape = '`'};
  EXPECT_EQ(*expand_word("c:\\dir`$PWD", lookup, windows), "c:\\dir$PWD");
}

TEST(ShellWords, TellsWhatMatched) {
  const auto result = expand_words("$PWD ${NONE:-$SHELL}", lookup);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->matched, (std::set<std::string>{"PWD", "SHELL"}));
  EXPECT_EQ(result->unmatched, (std::set<std::string>{"NONE"}));
}

TEST(ShellWords, BoundsNestingOutputAndWork) {
  std::string nested;
  for (int i = 0; i < 100000; ++i) nested += "${x:-";
  EXPECT_FALSE(expand_word(nested, lookup));
  const std::string big(1 << 20, 'x');
  const auto doubling = [&](std::string_view) -> std::optional<std::string> { return big; };
  EXPECT_FALSE(expand_word("$a$a$a$a$a$a", doubling));
  const auto many_a = [](std::string_view) -> std::optional<std::string> {
    return std::string(1 << 20, 'a');
  };
  std::string pattern = "${v/";
  for (int i = 0; i < 200; ++i) pattern += "*a";
  const auto slow = expand_word(pattern + "b/x}", many_a);
  ASSERT_FALSE(slow);
  EXPECT_NE(slow.error().message().find("too long"), std::string::npos);
}

}  // namespace
}  // namespace berth::spec
