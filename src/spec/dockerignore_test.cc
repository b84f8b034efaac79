// Patterns of ignore files and of COPY, against what moby's matcher and Go's filepath.Match answer.
#include "spec/dockerignore.h"

#include <gtest/gtest.h>

namespace berth::spec {
namespace {

bool ignored(std::vector<std::string> patterns, std::string_view path) {
  auto set = PatternSet::create(patterns);
  EXPECT_TRUE(set) << set.error().message();
  return set && set->matches(path);
}

TEST(Dockerignore, MatchesElementsAndWhatIsBelow) {
  EXPECT_TRUE(ignored({"a"}, "a"));
  EXPECT_TRUE(ignored({"a"}, "a/b/c"));
  EXPECT_FALSE(ignored({"a"}, "ab"));
  EXPECT_FALSE(ignored({"a"}, "b/a"));
  EXPECT_TRUE(ignored({"*.md"}, "README.md"));
  EXPECT_FALSE(ignored({"*.md"}, "docs/README.md"));
  EXPECT_TRUE(ignored({"*/temp*"}, "somedir/temporary.txt"));
  EXPECT_TRUE(ignored({"*/*/temp*"}, "a/b/temp"));
  EXPECT_TRUE(ignored({"temp?"}, "tempa"));
  EXPECT_FALSE(ignored({"temp?"}, "temp"));
  EXPECT_TRUE(ignored({"./x/../y"}, "y"));
}

TEST(Dockerignore, DoubleStarCrossesDirectories) {
  EXPECT_TRUE(ignored({"**/*.go"}, "x.go"));
  EXPECT_TRUE(ignored({"**/*.go"}, "a/b/x.go"));
  EXPECT_FALSE(ignored({"**/*.go"}, "a/b/x.gox"));
  EXPECT_TRUE(ignored({"**/foo"}, "foo"));
  EXPECT_TRUE(ignored({"**/foo"}, "a/b/foo/c"));
  EXPECT_FALSE(ignored({"**/foo"}, "xfoo"));
  EXPECT_TRUE(ignored({"**foo"}, "a/xfoo"));
  EXPECT_TRUE(ignored({"a/**"}, "a/b/c"));
  EXPECT_FALSE(ignored({"a/**"}, "a"));
  EXPECT_TRUE(ignored({"a/**/b"}, "a/b"));
  EXPECT_TRUE(ignored({"a/**/b"}, "a/x/y/b"));
  EXPECT_FALSE(ignored({"a/**/b"}, "a/xb"));
  EXPECT_TRUE(ignored({"**"}, "anything/at/all"));
  EXPECT_TRUE(ignored({"**/**/x"}, "q/w/x"));
}

TEST(Dockerignore, LastMatchWins) {
  const std::vector<std::string> patterns = {"*.md", "!README*.md", "README-secret.md"};
  EXPECT_TRUE(ignored(patterns, "a.md"));
  EXPECT_FALSE(ignored(patterns, "README.md"));
  EXPECT_TRUE(ignored(patterns, "README-secret.md"));
  EXPECT_FALSE(ignored({"*.md", "README-secret.md", "!README*.md"}, "README-secret.md"));
  EXPECT_FALSE(ignored({"**", "!src"}, "src/main.c"));
  EXPECT_TRUE(ignored({"**", "!src"}, "other"));
  EXPECT_TRUE(PatternSet::create({"a", "!b"})->has_exceptions());
  EXPECT_FALSE(PatternSet::create({"a"})->has_exceptions());
}

TEST(Dockerignore, ReadsTheFile) {
  const auto patterns =
      parse_ignore_file("\xEF\xBB\xBF# comment\n/abs/path/\r\n\n  spaced  \n! not/this/..\n #kept\n.\n");
  ASSERT_TRUE(patterns);
  EXPECT_EQ(*patterns, (std::vector<std::string>{"abs/path", "spaced", "!not", "#kept", "."}));
  EXPECT_EQ(ignore_file_candidates("sub/Dockerfile.web"),
            (std::vector<std::string>{"sub/Dockerfile.web.dockerignore", ".dockerignore"}));
}

TEST(Dockerignore, RefusesMalformedPatterns) {
  EXPECT_FALSE(PatternSet::create({"[a"}));
  EXPECT_FALSE(PatternSet::create({"a\\"}));
  EXPECT_FALSE(PatternSet::create({"!"}));
  EXPECT_FALSE(PatternSet::create(std::vector<std::string>(20000, "x")));
}

TEST(MatchPath, FollowsGo) {
  struct Case {
    const char* pattern;
    const char* name;
    int expected;  ///< 1 match, 0 none, -1 malformed
  };
  // From the documentation of path/filepath and the behaviour of Match.
  const Case cases[] = {{"abc", "abc", 1},      {"*", "abc", 1},
                        {"*c", "abc", 1},       {"a*", "a", 1},
                        {"a*", "ab/c", 0},      {"a*/b", "abc/b", 1},
                        {"a*/b", "a/c/b", 0},   {"a*b*c*d*e*/f", "axbxcxdxe/f", 1},
                        {"ab[c]", "abc", 1},    {"ab[b-d]", "abc", 1},
                        {"ab[e-g]", "abc", 0},  {"ab[^c]", "abc", 0},
                        {"ab[^e-g]", "abc", 1}, {"a\\*b", "a*b", 1},
                        {"a\\*b", "ab", 0},     {"a?b", "a☺b", 1},
                        {"a[^a]b", "a☺b", 1},   {"[]a]", "]", -1},
                        {"[-]", "-", -1},       {"[x-]", "x", -1},
                        {"[\\]a]", "]", 1},     {"[\\-x]", "-", 1},
                        {"[", "a", -1},         {"a[", "ab", -1},
                        {"a?b", "a/b", 0},      {"a*b", "a/b", 0},
                        {"*x", "xxx", 1},       {"**", "a/b", 0},
                        {"[a-ζ]*", "α", 1},     {"*[a-ζ]", "A", 0}};
  for (const auto& [pattern, name, expected] : cases) {
    const auto result = match_path(pattern, name);
    EXPECT_EQ(result ? int{*result} : -1, expected) << pattern << " against " << name;
  }
}

TEST(MatchPath, CostsNoMoreThanTheProductOfTheLengths) {
  std::string pattern;
  for (int i = 0; i < 500; ++i) pattern += "*a";
  EXPECT_FALSE(*match_path(pattern + "b", std::string(2000, 'a')));
}

TEST(CleanPath, FollowsGo) {
  EXPECT_EQ(clean_path(""), ".");
  EXPECT_EQ(clean_path("a//b/./c/.."), "a/b");
  EXPECT_EQ(clean_path("/../a"), "/a");
  EXPECT_EQ(clean_path("../../a"), "../../a");
  EXPECT_EQ(clean_path("a/.."), ".");
  EXPECT_EQ(clean_path("///"), "/");
}

}  // namespace
}  // namespace berth::spec
