#include "spec/url_credentials.h"

#include <gtest/gtest.h>

namespace berth::spec {
namespace {

TEST(UrlCredentials, AreNotShown) {
  EXPECT_EQ(without_credentials("https://user:secret@h:80/x.git?a@b"), "https://h:80/x.git?a@b");
  EXPECT_EQ(without_credentials("https://a@b@h/x"), "https://h/x");
  EXPECT_EQ(without_credentials("https://h/x@y"), "https://h/x@y");
  EXPECT_EQ(without_credentials("git@h:x"), "git@h:x");
}

}  // namespace
}  // namespace berth::spec
