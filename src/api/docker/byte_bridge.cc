// Bodies through pipes.
#include "api/docker/byte_bridge.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <vector>

namespace berth::api {
namespace {

constexpr size_t piece_size = size_t{256} << 10;
constexpr int pipe_size = 1 << 20;

Result<sys::Pipe> bridge_pipe(bool loop_reads) {
  TRY(sys::Pipe pipe, sys::make_pipe());
  ::fcntl(pipe.write.get(), F_SETPIPE_SZ, pipe_size);  // a smaller pipe works as well
  int loop_end = loop_reads ? pipe.read.get() : pipe.write.get();
  if (::fcntl(loop_end, F_SETFL, O_NONBLOCK) != 0)
    return Error::from_errno("set pipe non-blocking", {}, errno);
  return pipe;
}

}  // namespace

BodySource::BodySource(io::EventLoop& loop, io::Exchange& exchange, sys::Pipe pipe)
    : loop_(loop), exchange_(exchange), read_(std::move(pipe.read)), write_(std::move(pipe.write)) {}

Result<std::unique_ptr<BodySource>> BodySource::create(io::EventLoop& loop, io::Exchange& exchange) {
  TRY(sys::Pipe pipe, bridge_pipe(false));
  std::unique_ptr<BodySource> source(new BodySource(loop, exchange, std::move(pipe)));
  source->tasks_.spawn(source->pump());
  return source;
}

BodySource::~BodySource() {
  tasks_.destroy_all();
}

Result<size_t> BodySource::read(std::span<char> buffer) {
  while (true) {
    ssize_t n = ::read(read_.get(), buffer.data(), buffer.size());
    if (n > 0) return static_cast<size_t>(n);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Error::from_errno("read request body", {}, errno);
    if (broken_)
      return Error(Kind::Cancelled, "the client closed the connection before the end of the request body");
    return size_t{0};
  }
}

io::Task<void> BodySource::pump() {
  std::vector<char> buffer(piece_size);
  while (true) {
    auto got = co_await exchange_.read_some(buffer);
    if (!got) broken_ = true;
    if (!got || *got == 0) break;
    size_t done = 0;
    while (done < *got) {
      ssize_t n = ::write(write_.get(), buffer.data() + done, *got - done);
      if (n > 0) {
        done += static_cast<size_t>(n);
      } else if (n < 0 && errno == EAGAIN) {
        if (auto ready = co_await loop_.writable(write_.get()); !ready) co_return;
      } else if (n < 0 && errno != EINTR) {
        co_return;  // the reader has all it wanted
      }
    }
  }
  write_.reset();
}

BodySink::BodySink(io::EventLoop& loop, io::Exchange& exchange, std::string content_type, sys::Pipe pipe)
    : loop_(loop),
      exchange_(exchange),
      content_type_(std::move(content_type)),
      read_(std::move(pipe.read)),
      write_(std::move(pipe.write)) {}

Result<std::unique_ptr<BodySink>> BodySink::create(io::EventLoop& loop, io::Exchange& exchange,
                                                   std::string content_type) {
  TRY(sys::Pipe pipe, bridge_pipe(true));
  return std::unique_ptr<BodySink>(new BodySink(loop, exchange, std::move(content_type), std::move(pipe)));
}

BodySink::~BodySink() {
  tasks_.destroy_all();
}

Result<void> BodySink::write(std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = ::write(write_.get(), bytes.data(), bytes.size());
    if (n > 0) {
      bytes.remove_prefix(static_cast<size_t>(n));
    } else if (n < 0 && errno == EPIPE) {
      return Error(Kind::Cancelled, "the client closed the connection");
    } else if (n < 0 && errno != EINTR) {
      return Error::from_errno("write response body", {}, errno);
    }
  }
  return {};
}

io::Task<void> BodySink::pump() {
  std::vector<char> buffer(piece_size);
  while (sent_) {
    ssize_t n = ::read(read_.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EAGAIN) {
      if (auto ready = co_await loop_.readable(read_.get()); !ready) sent_ = std::move(ready).error();
      continue;
    }
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (!exchange_.begun()) sent_ = co_await exchange_.begin(200, content_type_);
    if (sent_) sent_ = co_await exchange_.write(std::string_view(buffer.data(), static_cast<size_t>(n)));
  }
  read_.reset();  // wakes a writer that waits for room
}

io::Task<Result<void>> BodySink::run(io::Task<Result<void>> work) {
  tasks_.spawn(pump());
  auto result = co_await std::move(work);
  write_.reset();
  co_await tasks_.wait_until_empty();
  if (!result) co_return std::move(result).error();
  if (!sent_) co_return std::move(sent_).error();
  if (!exchange_.begun()) CO_CHECK(co_await exchange_.begin(200, content_type_));
  co_return co_await exchange_.finish();
}

}  // namespace berth::api
