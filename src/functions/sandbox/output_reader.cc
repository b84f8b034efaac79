// Lines out of a pipe.
#include "functions/sandbox/output_reader.h"

#include <unistd.h>

#include <cerrno>

namespace berth::functions {
namespace {

constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kMaxLine = 256u << 10;
/// Per turn of the loop, so that a function that prints without end does not keep others waiting.
constexpr int kReadsAtOnce = 4;

}  // namespace

OutputReader::OutputReader(io::EventLoop& loop, sys::UniqueFd fd, std::function<void(std::string_view)> take)
    : loop_(loop), fd_(std::move(fd)), take_(std::move(take)) {
  tasks_.spawn(follow(*this));
}

bool OutputReader::read_once(bool& more) {
  char buffer[kReadBytes];
  ssize_t size = ::read(fd_.get(), buffer, sizeof buffer);
  more = size == static_cast<ssize_t>(sizeof buffer);
  if (size < 0) return errno == EAGAIN || errno == EINTR;
  if (size == 0) return false;
  pending_.append(buffer, static_cast<size_t>(size));
  take_lines();
  return true;
}

void OutputReader::take_lines() {
  size_t start = 0;
  while (true) {
    size_t end = pending_.find('\n', start);
    if (end == std::string::npos) break;
    take_(std::string_view(pending_).substr(start, end + 1 - start));
    start = end + 1;
  }
  pending_.erase(0, start);
  if (pending_.size() >= kMaxLine) {
    take_(pending_);
    pending_.clear();
  }
}

void OutputReader::drain() {
  bool more = true;
  for (int i = 0; more && i < kReadsAtOnce; ++i) {
    if (!read_once(more)) return;
  }
}

void OutputReader::drain_whole() {
  drain();
  if (pending_.empty()) return;
  std::string line = std::move(pending_) + "\n";
  pending_.clear();
  take_(line);
}

io::Task<void> OutputReader::follow(OutputReader& reader) {
  while (true) {
    auto readable = co_await reader.loop_.readable(reader.fd_.get());
    bool open = readable.has_value();
    bool more = open;
    for (int i = 0; more && i < kReadsAtOnce; ++i) {
      open = reader.read_once(more);
      more = more && open;
    }
    if (open) continue;
    reader.ended_.set();
    co_return;
  }
}

}  // namespace berth::functions
