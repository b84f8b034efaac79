// Tests of what compose's labels say about the order of starts.
#include "engine/start_order.h"

#include <gtest/gtest.h>

namespace berth::engine {
namespace {

TEST(StartOrder, ReadsComposesLabel) {
  auto services = parse_depends_on("db:service_healthy:false,cache:service_started:true,old,,:x");
  ASSERT_EQ(services.size(), 3u);
  EXPECT_EQ(services[0].service, "db");
  EXPECT_EQ(services[0].until, StartDependency::Until::Healthy);
  EXPECT_EQ(services[1].service, "cache");
  EXPECT_EQ(services[1].until, StartDependency::Until::Started);
  EXPECT_EQ(services[2].service, "old");
  EXPECT_TRUE(parse_depends_on("").empty());
  EXPECT_TRUE(parse_depends_on("migrate:service_completed_successfully:false").empty());
}

}  // namespace
}  // namespace berth::engine
