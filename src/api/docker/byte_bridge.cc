// Bodies through BytePipes.
#include "api/docker/byte_bridge.h"

#include <vector>

namespace berth::api {
namespace {
constexpr size_t piece_size = size_t{256} << 10;
}

BodySource::BodySource(io::EventLoop& loop, io::Exchange& exchange) : exchange_(exchange), pipe_(loop) {
  tasks_.spawn(pump());
}

BodySource::~BodySource() {
  tasks_.destroy_all();
}

io::Task<void> BodySource::pump() {
  std::vector<char> buffer(piece_size);
  while (true) {
    auto got = co_await exchange_.read_some(buffer);
    if (!got) {
      pipe_.close_writing(std::move(got).error());  // a broken body must not look like a whole one
      co_return;
    }
    if (*got == 0) break;
    auto written = co_await pipe_.write(std::string_view(buffer.data(), *got));
    if (!written) co_return;  // the reader has all it wanted
  }
  pipe_.close_writing();
}

BodySink::BodySink(io::EventLoop& loop, io::Exchange& exchange, std::string content_type)
    : exchange_(exchange), content_type_(std::move(content_type)), pipe_(loop) {}

BodySink::~BodySink() {
  tasks_.destroy_all();
}

io::Task<Result<void>> BodySink::send_all() {
  while (true) {
    CO_TRY(std::string bytes, co_await pipe_.read());
    if (bytes.empty()) co_return Result<void>();
    if (!exchange_.begun()) CO_CHECK(co_await exchange_.begin(200, content_type_));
    CO_CHECK(co_await exchange_.write(bytes));
  }
}

io::Task<void> BodySink::pump() {
  sent_ = co_await send_all();
  pipe_.close_reading();  // wakes a writer that waits for room
}

io::Task<Result<void>> BodySink::run(io::Task<Result<void>> work) {
  tasks_.spawn(pump());
  auto result = co_await std::move(work);
  pipe_.close_writing();
  co_await tasks_.wait_until_empty();
  if (!result) co_return std::move(result).error();
  if (!sent_) co_return std::move(sent_).error();
  if (!exchange_.begun()) CO_CHECK(co_await exchange_.begin(200, content_type_));
  co_return co_await exchange_.finish();
}

}  // namespace berth::api
