// Sizes, durations, tables and progress.
#include <gtest/gtest.h>

#include "apps/berth/output/progress.h"
#include "apps/berth/output/stream.h"
#include "apps/berth/output/table.h"
#include "apps/berth/output/units.h"

namespace berth::cli::output {
namespace {

using namespace std::chrono_literals;

TEST(Units, SizesInPowersOfThousand) {
  EXPECT_EQ(human_size(0), "0B");
  EXPECT_EQ(human_size(999), "999B");
  EXPECT_EQ(human_size(1000), "1kB");
  EXPECT_EQ(human_size(1'982'345), "1.982MB");
  EXPECT_EQ(human_size(1'982'345, 3), "1.98MB");
  EXPECT_EQ(human_size(12'345'678'901.0, 3), "12.3GB");
  EXPECT_EQ(binary_size(0), "0B");
  EXPECT_EQ(binary_size(468 * 1024), "468KiB");
  EXPECT_EQ(binary_size(25'275'543'552.0), "23.54GiB");
}

TEST(Units, DurationsAsDockerSaysThem) {
  struct Case {
    std::chrono::nanoseconds duration;
    const char* text;
  };
  for (const Case& c : std::vector<Case>{{-5s, "Less than a second"},
                                         {999ms, "Less than a second"},
                                         {1s, "1 second"},
                                         {59s, "59 seconds"},
                                         {60s, "About a minute"},
                                         {119s, "About a minute"},
                                         {120s, "2 minutes"},
                                         {59min, "59 minutes"},
                                         {60min, "About an hour"},
                                         {89min, "About an hour"},
                                         {90min, "2 hours"},
                                         {47h, "47 hours"},
                                         {48h, "2 days"},
                                         {13 * 24h, "13 days"},
                                         {14 * 24h, "2 weeks"},
                                         {60 * 24h, "2 months"},
                                         {729 * 24h, "24 months"},
                                         {731 * 24h, "2 years"}}) {
    EXPECT_EQ(human_duration(c.duration), c.text);
  }
}

TEST(Units, ShortensTexts) {
  EXPECT_EQ(short_id("sha256:0123456789abcdef"), "0123456789ab");
  EXPECT_EQ(ellipsis("\"a long command line\"", 10), "\"a long c…");
  EXPECT_EQ(ellipsis("short", 10), "short");
  EXPECT_EQ(ellipsis("äöüäöüäöü", 4), "äöü…");
  EXPECT_EQ(quoted("a \"b\"\n\x1b"), "\"a \\\"b\\\"\\n\\x1b\"");
  EXPECT_EQ(printable("a\x1b[2Jb\tc\n"), "a\\x1b[2Jb\tc\n");
}

TEST(Units, OrdersNumbersInTexts) {
  EXPECT_TRUE(natural_less("80/tcp", "443/tcp"));
  EXPECT_TRUE(natural_less("8cb", "867"));
  EXPECT_FALSE(natural_less("b", "a"));
  EXPECT_TRUE(natural_less("a", "aa"));
}

TEST(Table, AlignsColumns) {
  EXPECT_EQ(align_columns("ID\tNAME\n1\tlonger name than the head\n"),
            "ID        NAME\n1         longer name than the head\n");
  EXPECT_EQ(align_columns("CONTAINER ID\tX\n0123456789ab\tY\n"), "CONTAINER ID   X\n0123456789ab   Y\n");
}

TEST(Table, KeepsRunsOfRowsApart) {
  EXPECT_EQ(align_columns("a long cell here\tb\nplain\nc\td\n", {.min_width = 4, .padding = 1}),
            "a long cell here b\nplain\nc   d\n");
}

TEST(Table, CountsCharactersNotBytes) {
  EXPECT_EQ(align_columns("äöü\tb\nabcd\te\n", {.min_width = 0, .padding = 1}), "äöü  b\nabcd e\n");
}

TEST(JsonCutter, FindsObjectsWhereverTheyEnd) {
  std::string stream = "{\"a\":\"}\\\"{\"}\r\n{\"b\":[1,{}]}{\"c\":1} \n";
  for (size_t piece = 1; piece <= stream.size(); ++piece) {
    JsonCutter cutter;
    std::vector<std::string> objects;
    for (size_t at = 0; at < stream.size(); at += piece) {
      ASSERT_TRUE(cutter.feed(std::string_view(stream).substr(at, piece), [&](std::string_view object) {
        objects.emplace_back(object);
        return Outcome<void>();
      }));
    }
    EXPECT_EQ(objects, (std::vector<std::string>{"{\"a\":\"}\\\"{\"}", "{\"b\":[1,{}]}", "{\"c\":1}"}));
    EXPECT_TRUE(cutter.empty());
  }
}

TEST(JsonCutter, RefusesOtherText) {
  JsonCutter cutter;
  auto none = [](std::string_view) { return Outcome<void>(); };
  EXPECT_FALSE(cutter.feed("<html>", none));
}

TEST(Progress, WritesPlainLinesWhereThereIsNoTerminal) {
  Stream out(-1);
  std::string id;
  Progress progress(out, Progress::Quiet::No, [&](const Json&) { id = "seen"; });
  ASSERT_TRUE(progress.feed(R"({"status":"Pulling fs layer","id":"abc","progressDetail":{}}
{"status":"Downloading","id":"abc","progressDetail":{"current":5,"total":10}}
{"status":"Done","id":"abc"}{"status":"Plain"}{"stream":"Step 1\n"}{"aux":{"ID":"x"}})"));
  ASSERT_TRUE(progress.finish());
  EXPECT_EQ(out.text(), "abc: Pulling fs layer\nabc: Done\nPlain\nStep 1\n");
  EXPECT_EQ(id, "seen");
}

TEST(Progress, ReturnsTheEnginesError) {
  Stream out(-1);
  Progress progress(out);
  auto done = progress.feed(R"({"errorDetail":{"code":7,"message":"it failed"},"error":"short"})");
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().message, "it failed");
  EXPECT_EQ(done.error().exit_code, 7);
}

TEST(Progress, NoticesAnEndInTheMiddle) {
  Stream out(-1);
  Progress progress(out);
  ASSERT_TRUE(progress.feed("{\"status\":\"a"));
  EXPECT_FALSE(progress.finish());
}

TEST(Progress, DrawsBars) {
  EXPECT_EQ(progress_bar(50, 100, 200), "[=========================>                        ]  50B/100B");
  EXPECT_EQ(progress_bar(100, 100, 200), "[==================================================]  100B/100B");
  EXPECT_EQ(progress_bar(50, 100, 40), "50B/100B");
  EXPECT_EQ(progress_bar(50, 0, 200), "50B");
}

}  // namespace
}  // namespace berth::cli::output
