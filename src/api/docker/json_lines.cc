// Progress lines.
#include "api/docker/json_lines.h"

#include "api/docker/context.h"
#include "base/json.h"

namespace berth::api {
namespace {
constexpr size_t most_pending = size_t{4} << 20;
}

void JsonLines::push(const Json& object, Weight weight) {
  if (broken_ || (weight == Weight::Progress && pending_.size() > most_pending)) return;
  pending_ += to_json(object);
  pending_ += "\r\n";
  changed_.notify_all();
}

io::Task<void> JsonLines::send() {
  while (true) {
    while (pending_.empty() && !closed_) co_await changed_.wait();
    if (pending_.empty()) co_return;
    std::string bytes = std::exchange(pending_, {});
    Result<void> sent;
    if (!exchange_.begun()) sent = co_await exchange_.begin(200, "application/json");
    if (sent) sent = co_await exchange_.write(bytes);
    if (!sent) {
      broken_ = true;
      co_return;
    }
  }
}

io::Task<Result<void>> JsonLines::run(io::Task<Result<void>> work) {
  tasks_.spawn(send());
  auto result = co_await std::move(work);
  bool in_band = always_in_band_ || exchange_.begun() || !pending_.empty();
  if (!result && in_band) {
    const std::string& message = result.error().message();
    Json detail = {{"message", message}};
    if (error_code_ != 0) detail["code"] = error_code_;
    push({{"errorDetail", std::move(detail)}, {"error", message}});
  }
  closed_ = true;
  changed_.notify_all();
  co_await tasks_.wait_until_empty();
  if (broken_) co_return Error(Kind::Cancelled, "the client closed the connection");
  if (!result && !in_band) co_return std::move(result).error();
  if (!exchange_.begun()) CO_CHECK(co_await exchange_.begin(200, "application/json"));
  co_return co_await exchange_.finish();
}

}  // namespace berth::api
