#include "engine/health.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

using namespace std::chrono_literals;

TEST(Health, TheTextOfAProbeThatWasEnded) {
  EXPECT_EQ(timeout_text(50ms, "a\n"), "Health check exceeded timeout (50ms): a\n");
  EXPECT_EQ(timeout_text(30s, ""), "Health check exceeded timeout (30s)");
  EXPECT_EQ(timeout_text(1500ms, ""), "Health check exceeded timeout (1.5s)");
  EXPECT_EQ(timeout_text(90s, ""), "Health check exceeded timeout (1m30s)");
  EXPECT_EQ(timeout_text(1h, ""), "Health check exceeded timeout (1h0m0s)");
  EXPECT_EQ(timeout_text(250us, ""), "Health check exceeded timeout (250µs)");
}

}  // namespace
}  // namespace berth::engine
