#include "spec/git_place.h"

#include <gtest/gtest.h>

namespace berth::spec {
namespace {

TEST(GitPlaces, AreNamedAsDockerNamesThem) {
  using Place = std::optional<GitPlace>;
  EXPECT_EQ(parse_git_place("https://h/x.git"), Place({"https://h/x.git", "HEAD"}));
  EXPECT_EQ(parse_git_place("https://h/x.git#v1:deep/er"), Place({"https://h/x.git", "v1", "deep/er"}));
  EXPECT_EQ(parse_git_place("https://h/x.git#:/sub"), Place({"https://h/x.git", "HEAD", "sub"}));
  EXPECT_EQ(parse_git_place("github.com/o/r#main"), Place({"https://github.com/o/r.git", "main"}));
  EXPECT_EQ(parse_git_place("git@h:x.git"), Place({"git@h:x.git", "HEAD"}));
  EXPECT_EQ(parse_git_place("git://h/x#pull/42/head"), Place({"git://h/x", "pull/42/head"}));
  for (const char* other :
       {"https://h/compose.yaml", "./x.git", "oci://h/x", "ext::sh -c x", "file:///x.git"})
    EXPECT_EQ(parse_git_place(other), std::nullopt) << other;
}

TEST(GitPlaces, ThatWouldBeOptionsOrRefspecsAreRefused) {
  EXPECT_TRUE(check_git_place({"https://h/x.git", "feature/a_1.2-x"}));
  EXPECT_TRUE(check_git_place({"git@h:x.git", "HEAD"}));
  for (const GitPlace& place :
       {GitPlace{"https://h/x.git", "--upload-pack=sh"}, GitPlace{"ssh://-oProxyCommand=sh/x", "HEAD"},
        GitPlace{"git@-oProxyCommand=sh:x", "HEAD"}, GitPlace{"https://h/x.git", "+a"},
        GitPlace{"https://h/x.git", "a:b"}, GitPlace{"https://h/x.git", "a b"},
        GitPlace{"https://h/x\n.git", "HEAD"}})
    EXPECT_FALSE(check_git_place(place)) << place.repository << "#" << place.ref;
}

TEST(GitPlaces, SubmodulesStayOnTheNetwork) {
  const auto resolve = [](const std::string& parent, const std::string& url) {
    auto found = submodule_repository(parent, url);
    return found ? *found : "refused";
  };
  EXPECT_EQ(resolve("https://h/o/x.git", "https://other/y"), "https://other/y");
  EXPECT_EQ(resolve("https://h/o/x.git", "../y.git"), "https://h/o/y.git");
  EXPECT_EQ(resolve("https://h/o/x.git/", "../../p/y.git"), "https://h/p/y.git");
  EXPECT_EQ(resolve("https://h/o/x.git", "./y"), "https://h/o/x.git/y");
  EXPECT_EQ(resolve("git@h:o/x.git", "../y.git"), "git@h:o/y.git");
  EXPECT_EQ(resolve("git@h:x.git", "../y.git"), "git@h:y.git");
  EXPECT_EQ(resolve("https://h/x.git", "../../y.git"), "refused");
  for (const char* url : {"/etc", "file:///etc", "ext::sh -c id", "ext::id", "-x", "C:\\x", "https://h/a b"})
    EXPECT_EQ(resolve("https://h/o/x.git", url), "refused") << url;
}

}  // namespace
}  // namespace berth::spec
