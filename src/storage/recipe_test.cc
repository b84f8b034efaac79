// Recipes: what they give back, and that they notice when they cannot.
#include "storage/recipe.h"

#include <gtest/gtest.h>

#include <fstream>

#include "storage/archive.h"
#include "storage/checksum.h"
#include "storage/testing.h"

namespace berth::storage {
namespace {

class RecipeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    write("file", "what was written");
    tree_ = *sys::RootDir::open(directory_.path());
    ASSERT_TRUE(pack_tree(tree_, archive_, {.recipe = &recipe_, .checksum = crc64}));
  }
  void write(const std::string& name, const std::string& text) {
    std::ofstream(directory_.path() + "/" + name) << text;
  }
  Result<void> replay(const std::string& recipe, StringSink& out) {
    StringSource source(recipe);
    return replayed_from(source, tree_, out);
  }

  TempDir directory_;
  sys::RootDir tree_;
  StringSink archive_, recipe_;
};

TEST_F(RecipeTest, GivesTheArchiveBack) {
  StringSink again;
  auto replayed = replay(recipe_.text, again);
  ASSERT_TRUE(replayed) << replayed.error().message();
  EXPECT_EQ(again.text, archive_.text);
}

TEST_F(RecipeTest, AChangedFileIsNoticed) {
  write("file", "what was changed");
  StringSink again;
  auto replayed = replay(recipe_.text, again);
  ASSERT_FALSE(replayed);
  EXPECT_EQ(replayed.error().kind(), Kind::Corrupt);
  EXPECT_EQ(again.text.size(), archive_.text.size());
}

TEST_F(RecipeTest, WhatIsCutOffIsNoticed) {
  for (size_t size = 0; size < recipe_.text.size(); ++size) {
    StringSink again;
    EXPECT_FALSE(replay(recipe_.text.substr(0, size), again)) << size;
  }
}

TEST_F(RecipeTest, OlderOnesHaveNoChecksum) {
  std::string old = recipe_.text.substr(0, recipe_.text.size() - 9);
  ASSERT_TRUE(old.starts_with("berthtar2\n"));
  old[8] = '1';
  StringSource source(old);
  auto reader = RecipeReader::open(source);
  ASSERT_TRUE(reader);
  EXPECT_FALSE(reader->has_checksum());
  StringSink again;
  ASSERT_TRUE(reader->replay(tree_, again));
  EXPECT_EQ(again.text, archive_.text);
  // A checksum where none was announced is no record.
  StringSink third;
  EXPECT_FALSE(replay(old + "C12345678", third));
}

TEST(Checksum, IsTheStandardsAndContinues) {
  EXPECT_EQ(crc64(0, "123456789"), 0x995dc9bbdf1939faULL);  // CRC-64/XZ
  EXPECT_EQ(crc64(crc64(0, "12345"), "6789"), crc64(0, "123456789"));
}

}  // namespace
}  // namespace berth::storage
