#include "apps/buildkit/progress.h"

#include <chrono>

#include "base/format.h"
#include "base/sha256.h"

namespace berth::buildkit {
namespace {

using moby::buildkit::v1::StatusResponse;
using moby::buildkit::v1::Vertex;

/// Output beyond this is not kept for watchers.
constexpr size_t max_log_bytes = size_t{32} << 20;

google::protobuf::Timestamp time_now() {
  auto since = std::chrono::system_clock::now().time_since_epoch();
  auto nanoseconds = std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
  google::protobuf::Timestamp time;
  time.set_seconds(nanoseconds / 1'000'000'000);
  time.set_nanos(static_cast<int32_t>(nanoseconds % 1'000'000'000));
  return time;
}

}  // namespace

void Progress::push(StatusResponse message) {
  messages_.push_back(std::move(message));
  changed_.notify_all();
}

std::vector<StatusResponse> Progress::messages() const {
  std::lock_guard lock(mutex_);
  return messages_;
}

std::string Progress::begin(const std::string& name, const std::string& after) {
  std::lock_guard lock(mutex_);
  Sha256 hash;
  hash.update(fmt::format("{}\n{}\n{}", ref_, vertices_.size(), name));
  std::string digest = hash.finish().str();
  Vertex& vertex = vertices_[digest];
  vertex.set_digest(digest);
  vertex.set_name(name);
  if (!after.empty()) vertex.add_inputs(after);
  *vertex.mutable_started() = time_now();
  StatusResponse message;
  *message.add_vertexes() = vertex;
  push(std::move(message));
  return digest;
}

void Progress::mark_cached(const std::string& digest) {
  std::lock_guard lock(mutex_);
  auto found = vertices_.find(digest);
  if (found == vertices_.end()) return;
  found->second.set_cached(true);
}

void Progress::complete(const std::string& digest, const std::string& error) {
  std::lock_guard lock(mutex_);
  auto found = vertices_.find(digest);
  if (found == vertices_.end() || found->second.has_completed()) return;
  *found->second.mutable_completed() = time_now();
  found->second.set_error(error);
  StatusResponse message;
  *message.add_vertexes() = found->second;
  push(std::move(message));
}

void Progress::log(const std::string& vertex, int stream, std::string bytes) {
  std::lock_guard lock(mutex_);
  log_bytes_ += bytes.size();
  if (log_bytes_ > max_log_bytes) return;
  StatusResponse message;
  auto* line = message.add_logs();
  line->set_vertex(vertex);
  line->set_stream(stream);
  line->set_msg(std::move(bytes));
  *line->mutable_timestamp() = time_now();
  push(std::move(message));
}

void Progress::status(const std::string& vertex, const std::string& id, int64_t current, int64_t total,
                      bool done) {
  std::lock_guard lock(mutex_);
  auto [begun, first] = status_begun_.try_emplace({vertex, id}, time_now());
  StatusResponse message;
  auto* status = message.add_statuses();
  status->set_id(id);
  status->set_vertex(vertex);
  status->set_current(current);
  status->set_total(total);
  *status->mutable_timestamp() = time_now();
  *status->mutable_started() = begun->second;
  if (done) *status->mutable_completed() = time_now();
  push(std::move(message));
}

void Progress::warn(const std::string& vertex, const Warning& given) {
  std::lock_guard lock(mutex_);
  StatusResponse message;
  auto* warning = message.add_warnings();
  warning->set_vertex(vertex);
  warning->set_level(1);
  warning->set_short_(given.text);
  if (!given.detail.empty()) warning->add_detail(given.detail);
  warning->set_url(given.url);
  if (given.first_line > 0 && !source_.empty()) {
    warning->mutable_info()->set_filename(source_name_);
    warning->mutable_info()->set_data(source_);
    warning->mutable_info()->set_language("Dockerfile");
    auto* range = warning->add_ranges();
    range->mutable_start()->set_line(given.first_line);
    range->mutable_end()->set_line(given.last_line);
  }
  push(std::move(message));
}

void Progress::set_source(std::string name, std::string text) {
  std::lock_guard lock(mutex_);
  source_name_ = std::move(name);
  source_ = std::move(text);
}

void Progress::finish(const std::string& error) {
  std::lock_guard lock(mutex_);
  StatusResponse message;
  for (auto& [digest, vertex] : vertices_) {
    if (vertex.has_completed()) continue;
    *vertex.mutable_completed() = time_now();
    vertex.set_error(error);
    *message.add_vertexes() = vertex;
  }
  finished_ = true;
  push(std::move(message));
}

void Progress::watch(const std::function<bool(const StatusResponse&)>& send,
                     const std::function<bool()>& cancelled) {
  std::unique_lock lock(mutex_);
  size_t at = 0;
  while (!cancelled()) {
    if (at == messages_.size()) {
      if (finished_) return;
      changed_.wait_for(lock, std::chrono::milliseconds(200));
      continue;
    }
    // Many small messages are one.
    StatusResponse message = messages_[at++];
    while (at < messages_.size() && message.logs_size() + message.statuses_size() < 64)
      message.MergeFrom(messages_[at++]);
    lock.unlock();
    bool sent = send(message);
    lock.lock();
    if (!sent) return;
  }
}

}  // namespace berth::buildkit
