// Watching an exchange.
#include "api/docker/observed_exchange.h"

#include <algorithm>
#include <cstring>

#include "api/docker/context.h"

namespace berth::api {

io::Task<Result<void>> ObservedExchange::read_ahead(size_t limit) {
  CO_TRY(ahead_, co_await inner_.read_body(limit));
  co_return Result<void>();
}

io::Task<Result<size_t>> ObservedExchange::read_some(std::span<char> buffer) {
  if (!ahead_) co_return co_await inner_.read_some(buffer);
  size_t count = std::min(buffer.size(), ahead_->size() - ahead_used_);
  std::memcpy(buffer.data(), ahead_->data() + ahead_used_, count);
  ahead_used_ += count;
  co_return count;
}

io::Task<Result<void>> ObservedExchange::pass(Answer answer) {
  status_ = answer.status;
  if (!gate_) co_return Result<void>();
  io::Task<Result<void>> asked = gate_(answer);
  auto allowed = co_await std::move(asked);
  if (allowed) co_return Result<void>();
  gate_ = nullptr;
  status_ = http_status(allowed.error());
  std::string body = error_body(allowed.error());
  [[maybe_unused]] auto sent = co_await inner_.respond(status_, "application/json", body);
  co_return Error(Kind::Cancelled, allowed.error().message());
}

io::Task<Result<void>> ObservedExchange::respond(int status, std::string_view content_type,
                                                 std::string_view body) {
  CO_CHECK(co_await pass({status, content_type, body}));
  co_return co_await inner_.respond(status, content_type, body);
}

io::Task<Result<void>> ObservedExchange::begin(int status, std::string_view content_type) {
  CO_CHECK(co_await pass({status, content_type, {}}));
  co_return co_await inner_.begin(status, content_type);
}

io::Task<Result<void>> ObservedExchange::begin_sized(int status, std::string_view content_type,
                                                     uint64_t length) {
  CO_CHECK(co_await pass({status, content_type, {}}));
  co_return co_await inner_.begin_sized(status, content_type, length);
}

io::Task<Result<io::HijackedSocket>> ObservedExchange::hijack(std::string_view content_type) {
  CO_CHECK(co_await pass({inner_.wants_upgrade() ? 101 : 200, content_type, {}}));
  auto hijacked = co_await inner_.hijack(content_type);
  co_return hijacked;
}

io::Task<Result<io::HijackedSocket>> ObservedExchange::hijack_silently() {
  CO_CHECK(co_await pass({101, {}, {}}));
  auto hijacked = co_await inner_.hijack_silently();
  co_return hijacked;
}

}  // namespace berth::api
