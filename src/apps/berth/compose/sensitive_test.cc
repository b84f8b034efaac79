// What looks like a key or a token.
#include "apps/berth/compose/sensitive.h"

#include <gtest/gtest.h>

namespace berth::cli::compose {
namespace {

std::vector<std::string> kinds(const std::string& text) {
  std::vector<std::string> found;
  for (const Sensitive& one : find_sensitive(text)) found.emplace_back(one.kind);
  return found;
}

TEST(Sensitive, KeysAndTokens) {
  using Kinds = std::vector<std::string>;
  EXPECT_EQ(kinds("id AKIA1234567890ABCDEF."), Kinds{"AWS Client ID"});
  EXPECT_EQ(kinds("aws = '12345+67890/abcdefghijklm+NOPQRSTUVWXYZ+'"), Kinds{"AWS Secret Key"});
  EXPECT_EQ(kinds("ghp_1234567890abcdefghijklmnopqrstuvwxyz"), Kinds{"Github authentication"});
  EXPECT_EQ(kinds("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4"),
            Kinds{"JSON Web Token"});
  EXPECT_TRUE(kinds("plain words, AKIA, ghp_short, eyJ.eyJ.").empty());
}

TEST(Sensitive, PrivateKeysAreShownWhole) {
  const std::string key = "-----BEGIN DSA PRIVATE KEY-----\nwxyz+ABC=\n-----END DSA PRIVATE KEY-----";
  const auto found = find_sensitive("before\n" + key + "\nafter");
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].value, key);
  EXPECT_TRUE(find_sensitive("-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----").empty());
}

}  // namespace
}  // namespace berth::cli::compose
