// Sending announcements.
#include "network/announcer.h"

#include <fcntl.h>
#include <signal.h>

namespace berth::network {
namespace {

/// The first one leaves when whoever has asked for the start has the answer.
constexpr std::chrono::milliseconds kAnswersFirst{2};

void leave_signals_to_others() {
  sigset_t all;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

/// False: the interface is gone, or has been given another address, and there is nothing more to say.
bool send_all(const sys::FrameSocket& socket, const MacAddress& mac,
              const std::vector<AnnouncementFrame>& frames) {
  auto now = socket.mac();
  if (!now || *now != mac) return false;
  for (const AnnouncementFrame& frame : frames) {
    if (!socket.send(frame.protocol, frame.to, frame.payload)) return false;
  }
  return true;
}

}  // namespace

Announcer::~Announcer() {
  // The threads use what is declared before them.
  sender_ = {};
  closer_ = {};
}

void Announcer::start_threads() {
  if (sender_.joinable()) return;
  sender_ = std::jthread([this](std::stop_token stop) { send(std::move(stop)); });
  closer_ = std::jthread([this](std::stop_token stop) { close(std::move(stop)); });
}

void Announcer::begin(const EndpointRecord& endpoint, AnnouncementSchedule schedule, sys::UniqueFd netns) {
  auto job = std::make_shared<Job>();
  job->interface = endpoint.interface;
  job->mac = endpoint.mac;
  job->schedule = schedule;
  job->netns = std::move(netns);
  for (const auto& address : {endpoint.ipv4, endpoint.ipv6}) {
    if (address) job->frames.push_back(announcement_frame(address->address, endpoint.mac));
  }
  if (schedule.count == 0 || job->frames.empty()) return;
  cancel(endpoint.id);
  std::lock_guard lock(mutex_);
  start_threads();
  jobs_[endpoint.id] = job;
  queue_.emplace(Clock::now() + kAnswersFirst, std::move(job));
  due_.notify_one();
}

void Announcer::cancel(const std::string& endpoint_id) {
  std::lock_guard lock(mutex_);
  auto found = jobs_.find(endpoint_id);
  if (found == jobs_.end()) return;
  std::shared_ptr<Job> job = std::move(found->second);
  jobs_.erase(found);
  job->is_over = true;
  if (!job->is_busy) release(*job);
}

void Announcer::release(Job& job) {
  job.netns.reset();
  if (!job.socket) return;
  closing_.push_back(*std::move(job.socket));
  job.socket.reset();
  closable_.notify_one();
}

void Announcer::send(std::stop_token stop) {
  leave_signals_to_others();
  auto home = sys::open_file("/proc/thread-self/ns/net", O_RDONLY);
  if (!home) return;
  std::unique_lock lock(mutex_);
  while (!stop.stop_requested()) {
    if (queue_.empty()) {
      due_.wait(lock, stop, [&] { return !queue_.empty(); });
      continue;
    }
    auto next = queue_.begin();
    if (auto at = next->first; at > Clock::now()) {
      due_.wait_until(lock, stop, at, [&] { return queue_.begin()->first < at; });
      continue;
    }
    auto [at, job] = *next;
    queue_.erase(next);
    if (job->is_over) continue;
    job->is_busy = true;
    lock.unlock();
    if (!job->socket) {
      auto socket = sys::FrameSocket::open_in(job->netns.get(), home->get(), job->interface);
      if (socket) job->socket = *std::move(socket);
      job->netns.reset();
    }
    bool sent = job->socket && send_all(*job->socket, job->mac, job->frames);
    lock.lock();
    job->is_busy = false;
    if (sent && --job->schedule.count > 0 && !job->is_over) {
      queue_.emplace(at + job->schedule.interval, std::move(job));
    } else {
      release(*job);
      std::erase_if(jobs_, [&](const auto& entry) { return entry.second == job; });
    }
  }
}

void Announcer::close(std::stop_token stop) {
  leave_signals_to_others();
  std::unique_lock lock(mutex_);
  while (closable_.wait(lock, stop, [&] { return !closing_.empty(); })) {
    std::vector<sys::FrameSocket> closing = std::exchange(closing_, {});
    lock.unlock();
    closing.clear();
    lock.lock();
  }
}

}  // namespace berth::network
