// Tests of the table of container states: what may follow what, and how refusals read.
#include "engine/transitions.h"

#include <gtest/gtest.h>

#include "engine/testing.h"

namespace berth::engine {
namespace {

TEST(Transitions, ARunGoesFromCreatedToExited) {
  ContainerState state;
  ASSERT_TRUE(transition(state, Action::Start));
  ASSERT_TRUE(transition(state, Action::Pause));
  ASSERT_TRUE(transition(state, Action::Unpause));
  ASSERT_TRUE(transition(state, Action::AwaitRestart));
  EXPECT_EQ(state.status, Status::Restarting);
  ASSERT_TRUE(transition(state, Action::Start));
  ASSERT_TRUE(transition(state, Action::Exit));
  EXPECT_EQ(state.status, Status::Exited);
  ASSERT_TRUE(transition(state, Action::Remove));
  ASSERT_TRUE(transition(state, Action::RemoveFail));
  EXPECT_EQ(state.status, Status::Dead);
}

TEST(Transitions, AFailedStartLeavesThingsAsTheyWere) {
  EXPECT_EQ(next_status(Status::Created, Action::StartFail), Status::Created);
  EXPECT_EQ(next_status(Status::Exited, Action::StartFail), Status::Exited);
  EXPECT_EQ(next_status(Status::Restarting, Action::StartFail), Status::Exited);
}

TEST(Transitions, RefusesWhatIsNotInTheTable) {
  ContainerState state;
  auto moved = transition(state, Action::Pause);
  ASSERT_FALSE(moved);
  EXPECT_EQ(moved.error().kind(), Kind::WrongState);
  EXPECT_EQ(state.status, Status::Created);
  EXPECT_FALSE(next_status(Status::Running, Action::Start));
  EXPECT_FALSE(next_status(Status::Running, Action::Remove));
  EXPECT_FALSE(next_status(Status::Removing, Action::Start));
}

TEST(Transitions, RefusalsReadAsDockers) {
  ContainerRecord record = testing::record("web");
  record.state.status = Status::Running;
  EXPECT_EQ(may_start(record).error().kind(), Kind::NotModified);
  EXPECT_EQ(may_remove(record, "web", false).error().message(),
            "cannot remove container \"web\": container is running: stop the container before removing or "
            "force remove");
  EXPECT_TRUE(may_remove(record, "web", true));
  record.state.status = Status::Paused;
  EXPECT_EQ(may_start(record).error().message(), "cannot start a paused container, try unpause instead");
  EXPECT_EQ(may_exec(record).error().message(),
            "Container " + record.id + " is paused, unpause the container before exec");
  EXPECT_EQ(may_pause(record).error().message(), "Container " + record.id + " is already paused");
  record.state.status = Status::Exited;
  EXPECT_EQ(may_stop(record).error().kind(), Kind::NotModified);
  EXPECT_EQ(may_kill(record, "web").error().message(),
            "cannot kill container: web: container " + record.id + " is not running");
  EXPECT_EQ(may_unpause(record).error().message(), "Container " + record.id + " is not paused");
  EXPECT_TRUE(may_attach(record, "web"));
  record.state.status = Status::Removing;
  EXPECT_EQ(may_remove(record, "web", true).error().message(),
            "removal of container web is already in progress");
}

}  // namespace
}  // namespace berth::engine
