// Announcer: sends containers' announcements (announcements.h) from within their network namespaces, once a
// start has been answered. One thread for all containers sends; a second one closes sockets, which takes the
// kernel long. Both begin with the first announcement and end with the object.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "network/announcements.h"
#include "sys/fd.h"
#include "sys/frame_socket.h"

namespace berth::network {

class Announcer {
 public:
  Announcer() = default;
  ~Announcer();
  Announcer(const Announcer&) = delete;
  Announcer& operator=(const Announcer&) = delete;

  /// `netns` is that of the endpoint's interface. Replaces what was begun for the endpoint before.
  void begin(const EndpointRecord& endpoint, AnnouncementSchedule schedule, sys::UniqueFd netns);
  /// Nothing more is sent for the endpoint, and its namespace is let go.
  void cancel(const std::string& endpoint_id);

 private:
  using Clock = std::chrono::steady_clock;
  struct Job {
    std::string interface;
    MacAddress mac;
    std::vector<AnnouncementFrame> frames;
    AnnouncementSchedule schedule;
    sys::UniqueFd netns;
    std::optional<sys::FrameSocket> socket;
    bool is_busy = false;  ///< the sending thread has it
    bool is_over = false;
  };
  void start_threads();
  void send(std::stop_token stop);
  void close(std::stop_token stop);
  /// Lets go what the job holds; the mutex is held.
  void release(Job& job);

  std::mutex mutex_;
  std::condition_variable_any due_;
  std::condition_variable_any closable_;
  std::map<std::string, std::shared_ptr<Job>> jobs_;  ///< by endpoint
  std::multimap<Clock::time_point, std::shared_ptr<Job>> queue_;
  std::vector<sys::FrameSocket> closing_;
  std::jthread sender_;
  std::jthread closer_;
};

}  // namespace berth::network
