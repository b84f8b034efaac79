// ContentStore: verification, publication, left-overs.
#include "storage/content_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "storage/testing.h"

namespace berth::storage {
namespace {

class ContentStoreTest : public testing::Test {
 protected:
  TempDir directory_;
  ContentStore store_ = *ContentStore::open(directory_.path() + "/content");

  size_t ingests() { return sys::list_dir(directory_.path() + "/content/ingest")->size(); }
};

TEST_F(ContentStoreTest, PublishesVerifiedBlobs) {
  auto ingest = store_.begin({.digest = sha256("hello"), .size = 5});
  ASSERT_TRUE(ingest);
  ASSERT_TRUE((*ingest)->write("hel"));
  ASSERT_TRUE((*ingest)->write("lo"));
  EXPECT_FALSE(store_.contains(sha256("hello")));
  auto info = (*ingest)->commit();
  ASSERT_TRUE(info) << info.error().message();
  EXPECT_EQ(info->size, 5u);
  EXPECT_EQ(*store_.read(sha256("hello"), 100), "hello");
  EXPECT_EQ(store_.read(sha256("hello"), 4).error().kind(), Kind::Exhausted);
  EXPECT_EQ(*store_.size(sha256("hello")), 5u);
  EXPECT_EQ(store_.list()->size(), 1u);
  EXPECT_EQ(ingests(), 0u);
  ASSERT_TRUE(store_.put("hello"));
  ASSERT_TRUE(store_.remove(sha256("hello")));
  ASSERT_TRUE(store_.remove(sha256("hello")));
  EXPECT_EQ(store_.open_blob(sha256("hello")).error().kind(), Kind::NotFound);
}

TEST_F(ContentStoreTest, RefusesWhatIsNotAsAnnounced) {
  {
    auto ingest = store_.begin({.digest = sha256("other")});
    ASSERT_TRUE((*ingest)->write("hello"));
    EXPECT_EQ((*ingest)->commit().error().kind(), Kind::Corrupt);
  }
  {
    auto ingest = store_.begin({.size = 3});
    EXPECT_EQ((*ingest)->write("hello").error().kind(), Kind::Corrupt);
  }
  {
    auto ingest = store_.begin({.size = 9});
    ASSERT_TRUE((*ingest)->write("hello"));
    EXPECT_EQ((*ingest)->commit().error().kind(), Kind::Corrupt);
  }
  EXPECT_EQ(ingests(), 0u);
  EXPECT_TRUE(store_.list()->empty());
}

TEST_F(ContentStoreTest, NoticesDamageAndCleansLeftOvers) {
  ASSERT_TRUE(store_.put("hello"));
  ASSERT_EQ(::unlink(store_.blob_path(sha256("hello")).c_str()), 0);
  ASSERT_TRUE(sys::write_file_atomic(store_.blob_path(sha256("hello")), "HELLO"));
  EXPECT_EQ(store_.read(sha256("hello"), 100).error().kind(), Kind::Corrupt);
  ASSERT_TRUE(sys::write_file_atomic(directory_.path() + "/content/ingest/left", "x"));
  ASSERT_TRUE(ContentStore::open(directory_.path() + "/content"));
  EXPECT_EQ(ingests(), 0u);
}

}  // namespace
}  // namespace berth::storage
