// Content-Range, as servers write it and as hostile ones do.
#include "registry/client/content_range.h"

#include <gtest/gtest.h>

namespace berth::registry {
namespace {

TEST(ContentRange, ReadsWhatServersWrite) {
  EXPECT_EQ(parse_content_range("bytes 0-0/1"), (ContentRange{0, 0, 1}));
  EXPECT_EQ(parse_content_range("bytes 100-199/200"), (ContentRange{100, 199, 200}));
  EXPECT_EQ(parse_content_range("bytes 100-199/*"), (ContentRange{100, 199, std::nullopt}));
}

TEST(ContentRange, RefusesTheRest) {
  for (const char* bad :
       {"", "bytes", "bytes ", "bytes 1-", "bytes -1/2", "bytes 5-4/10", "bytes 0-10/10", "bytes 0-9/10 ",
        "bytes 0-9/", "bytes 0-9", "bytes */10", "items 0-9/10", "bytes 0-99999999999999999999/*",
        "bytes 0-9/x", "bytes +0-9/10", "bytes 0 -9/10", "Bytes 0-9/10"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

}  // namespace
}  // namespace berth::registry
