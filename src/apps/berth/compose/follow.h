// Following: the output of several containers at once, line by line, each with its container's name before
// it.
#pragma once

#include <list>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

struct FollowOptions {
  bool follow = true;
  bool prefix = true;
  bool colour = true;  ///< only on a terminal
  bool timestamps = false;
  std::string tail = "all", since = {}, until = {};
};

class Follower {
 public:
  Follower(Session& session, FollowOptions options);
  /// Waits for the streams to end.
  ~Follower();

  /// Room for the longest of these names before the bar.
  void reserve(const std::string& container_name);
  /// Begins to print a container's log; nothing if it is printed, or, without `since`, has been
  /// printed already. From any thread.
  void add(const Observed& container, const std::string& since = {});
  /// A line of a hook that runs in the container of that name.
  void hook_line(std::string_view container_name, std::string_view line);
  /// One line of this program's own among the others.
  void say(std::string_view line);
  /// Returns when all streams have ended.
  void wait();

 private:
  void stream(Observed container, std::string since, size_t colour);
  void print(const std::string& name, size_t colour, std::string_view line, bool error);

  Session& session_;
  FollowOptions options_;
  bool terminal_;
  std::mutex mutex_;
  size_t width_ = 0;
  size_t colours_ = 0;
  std::map<std::string, size_t> colour_of_;
  std::set<std::string> active_, begun_;
  std::list<std::thread> threads_;
};

/// "web-1" of "project-web-1".
std::string shown_name(const Project& project, const Observed& container);

}  // namespace berth::cli::compose
