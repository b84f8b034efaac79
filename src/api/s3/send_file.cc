// A file as an answer, or the one range of it that was asked for.
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "api/s3/s3_api.h"
#include "base/format.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api::s3 {
namespace {

constexpr size_t buffer_bytes = 256 << 10;

struct Range {
  uint64_t begin = 0, end = 0;  ///< [begin, end)
  bool partial = false;
  bool impossible = false;
};
/// One range of "bytes="; several, and what is malformed, count as none.
Range read_range(std::string_view header, uint64_t size) {
  Range whole{.begin = 0, .end = size};
  if (!header.starts_with("bytes=") || header.find(',') != std::string_view::npos) return whole;
  header.remove_prefix(6);
  size_t dash = header.find('-');
  if (dash == std::string_view::npos) return whole;
  auto number = [](std::string_view text, uint64_t& value) {
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc{} && end == text.data() + text.size();
  };
  std::string_view first = header.substr(0, dash), last = header.substr(dash + 1);
  uint64_t a = 0, b = 0;
  if (first.empty()) {
    if (!number(last, b)) return whole;
    if (b == 0 || size == 0) return {.impossible = true};
    return {.begin = size - std::min(b, size), .end = size, .partial = true};
  }
  if (!number(first, a) || (!last.empty() && !number(last, b))) return whole;
  if (a >= size) return {.impossible = true};
  uint64_t end = last.empty() ? size : std::min(size, b >= size ? size : b + 1);
  if (end <= a) return whole;
  return {.begin = a, .end = end, .partial = true};
}

io::Task<Result<void>> stream_file(io::EventLoop& loop, io::Exchange& exchange, int file, Range range) {
  std::string buffer(buffer_bytes, '\0');
  while (range.begin < range.end) {
    size_t wanted = static_cast<size_t>(std::min<uint64_t>(buffer.size(), range.end - range.begin));
    auto read = [&]() -> ssize_t {
      return ::pread(file, buffer.data(), wanted, static_cast<off_t>(range.begin));
    };
    ssize_t count = co_await loop.on_worker(read);
    if (count <= 0) co_return Error::from_errno("read", "object", count < 0 ? errno : EIO);
    CO_CHECK(co_await exchange.write(std::string_view(buffer).substr(0, static_cast<size_t>(count))));
    range.begin += static_cast<uint64_t>(count);
  }
  co_return co_await exchange.finish();
}

}  // namespace

io::Task<void> send_file(io::EventLoop& loop, io::Exchange& exchange, sys::UniqueFd file, SentFile what) {
  exchange.set_header("Accept-Ranges", "bytes");
  Range range = read_range(exchange.header("Range").value_or(""), what.size);
  if (range.impossible) {
    exchange.set_header("Content-Range", fmt::format("bytes */{}", what.size));
    std::string type = "application/xml", body = "<Error><Code>InvalidRange</Code></Error>";
    [[maybe_unused]] auto sent = co_await exchange.respond(416, type, body);
    co_return;
  }
  if (range.partial) {
    exchange.set_header("Content-Range",
                        fmt::format("bytes {}-{}/{}", range.begin, range.end - 1, what.size));
  }
  auto begun =
      co_await exchange.begin_sized(range.partial ? 206 : 200, what.content_type, range.end - range.begin);
  if (!begun) co_return;
  if (exchange.method() == "HEAD") {
    [[maybe_unused]] auto finished = co_await exchange.finish();
    co_return;
  }
  if (auto sent = co_await stream_file(loop, exchange, file.get(), range); !sent) exchange.abort();
}

}  // namespace berth::api::s3
