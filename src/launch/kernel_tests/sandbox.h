// Sandbox: a root filesystem made of busybox, and containers really launched in it, for tests that run as
// root.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "launch/defaults.h"
#include "launch/keeper.h"
#include "launch/log_format.h"
#include "launch/plan.h"

namespace berth::launch::testing {

/// A container from spawn to exit, with a client attached to its output.
class Container {
 public:
  Container(Keeper keeper, sys::UniqueFd client) : keeper_(std::move(keeper)), client_(std::move(client)) {}

  Keeper& keeper() { return keeper_; }
  void replace_keeper(Keeper keeper) { keeper_ = std::move(keeper); }
  int client() const { return client_.get(); }
  void close_client() { client_.reset(); }

  /// The next event of type E; others on the way are kept in events(). Fails the test when the keeper ends
  /// first.
  template <class E>
  E wait_for() {
    for (const auto& event : seen_from(0))
      if (const auto* found = std::get_if<E>(event)) return *found;
    while (auto event = next()) {
      events_.push_back(*event);
      if (const auto* found = std::get_if<E>(&events_.back())) return *found;
    }
    ADD_FAILURE() << "the keeper ended without the expected event; " << what_happened();
    return {};
  }
  /// Reads the client to its end.
  std::string read_output();
  /// Reads until `text` has come (or the end).
  std::string read_until(const std::string& text);
  /// Output, then the exit code.
  int finish(std::string& output);
  std::string what_happened() const;
  pid_t pid() const;

 private:
  std::optional<KeeperEvent> next();
  std::vector<const KeeperEvent*> seen_from(size_t index) const;
  Keeper keeper_;
  sys::UniqueFd client_;
  std::vector<KeeperEvent> events_;
};

struct Outcome {
  int code = -1;
  std::string output;
  std::optional<LaunchFailure> failure;
};

class SandboxTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  /// A request for `sh -c script` in the default sandbox.
  LaunchRequest request(const std::string& script);
  /// Starts it, attached as `attach` says (stdout and stderr raw, unless changed).
  std::unique_ptr<Container> start(const LaunchRequest& request, AttachRequest attach = {});
  /// Starts it and waits for its end.
  Outcome run(const LaunchRequest& request);
  Outcome run(const std::string& script) { return run(request(script)); }
  /// An exec of `sh -c script` in a container made from `request`.
  ExecRequest exec_request(const LaunchRequest& request, const std::string& script);

  void write_file(const std::string& path, const std::string& content);
  std::string read_file(const std::string& path);
  std::string log_text();
  std::string directory_;  ///< everything of the test lies below it
  std::string root() const { return directory_ + "/lower"; }
  HostFacts host_;
  std::vector<std::string> groups_;

 private:
  std::vector<sys::UniqueFd> keepers_;
  void make_root();
};

/// The program under test, loaded once.
const KeeperProgram& keeper_program();

}  // namespace berth::launch::testing
