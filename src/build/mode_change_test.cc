// --chmod in its two forms.
#include "build/mode_change.h"

#include <gtest/gtest.h>

namespace berth::build {
namespace {

uint32_t changed(std::string_view text, uint32_t mode, bool is_directory = false) {
  auto change = ModeChange::parse(text);
  EXPECT_TRUE(change) << text;
  return change ? change->apply(mode, is_directory) : 0xffff;
}

TEST(ModeChange, TakesOctalAndSymbols) {
  EXPECT_EQ(changed("755", 0600), 0755u);
  EXPECT_EQ(changed("4755", 0600), 04755u);
  EXPECT_EQ(changed("u+x", 0644), 0744u);
  EXPECT_EQ(changed("+x", 0644), 0755u);
  EXPECT_EQ(changed("go-rw", 0666), 0600u);
  EXPECT_EQ(changed("u=rwX,go=rX", 0644), 0644u);
  EXPECT_EQ(changed("u=rwX,go=rX", 0644, true), 0755u);
  EXPECT_EQ(changed("a+X", 0744), 0755u);
  EXPECT_EQ(changed("g=u", 0640), 0660u);
  EXPECT_EQ(changed("u+s,g+s,+t", 0755), 07755u);
  EXPECT_EQ(changed("a=", 0777), 0u);
  EXPECT_EQ(changed("u+r-x", 0300), 0600u);
}

TEST(ModeChange, RefusesTheRest) {
  for (const char* bad : {"", "999", "77777", "0o755", "u", "u+q", "z+x", "u+x,", "u+x g+x"})
    EXPECT_FALSE(ModeChange::parse(bad)) << bad;
}

}  // namespace
}  // namespace berth::build
