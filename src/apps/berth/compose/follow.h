// Following: the output of several containers at once, line by line, each with its container's name before
// it.
#pragma once

#include <condition_variable>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>

#include "apps/berth/compose/session.h"

namespace berth::cli::compose {

struct FollowOptions {
  bool follow = true;
  bool prefix = true;
  bool split = false;  ///< what goes to stderr there goes to stderr here
  bool colour = false;
  bool timestamps = false;
  std::string tail = "all", since = {}, until = {};
};

/// Where a container's output begins to be shown.
struct From {
  std::string since = {};  ///< unix seconds; empty: as the options say
  bool new_alone = false;  ///< nothing of what is there already
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
  void add(const Observed& container, From from = {});
  /// The container has ended, and may be started again.
  void note_end(const std::string& id);
  /// What the container writes since it was started last.
  void add_restarted(const Observed& container);
  /// A line of a hook that runs in the container of that name.
  void hook_line(std::string_view container_name, std::string_view line);
  /// One line of this program's own among the others.
  void say(std::string_view line);
  /// Returns when all streams have ended.
  void wait();
  /// The same but for those of these containers (by id), which go on. Whether any goes on.
  bool wait_but_for(const std::set<std::string>& ids);

 private:
  /// A container's log that is being printed.
  struct Active {
    std::optional<From> again = {};  ///< it was started once more meanwhile
    bool fed_since = true;           ///< and this stream goes on with what it writes since its end
  };
  void stream(Observed container, From from, size_t colour);
  void stream_once(const Observed& container, const From& from, size_t colour);
  void print(const std::string& name, size_t colour, std::string_view line, bool error);

  Session& session_;
  FollowOptions options_;
  std::mutex mutex_;
  std::condition_variable ended_;
  size_t width_ = 0;
  size_t colours_ = 0;
  std::map<std::string, size_t> colour_of_;
  std::map<std::string, Active> active_;
  std::set<std::string> begun_;
  std::list<std::thread> threads_;
};

/// "web-1" of "project-web-1".
std::string shown_name(const Project& project, const Observed& container);

}  // namespace berth::cli::compose
