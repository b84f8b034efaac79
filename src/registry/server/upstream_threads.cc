// One thread per piece of work.
#include "registry/server/upstream_threads.h"

#include <memory>

namespace berth::registry::server {

io::Task<Result<void>> UpstreamThreads::run(std::function<Result<void>(std::stop_token)> work) {
  struct Shared {
    io::Event done;
    Result<void> result;
  };
  auto slot = co_await slots_.acquire();
  auto shared = std::make_shared<Shared>();
  uint64_t number = next_++;
  io::EventLoop* loop = &loop_;
  std::function<void(std::stop_token)> body = [loop, shared, work = std::move(work)](std::stop_token stop) {
    shared->result = work(std::move(stop));
    loop->post([shared] { shared->done.set(); });
  };
  threads_.emplace(number, std::jthread(std::move(body)));
  co_await shared->done.wait();
  threads_.erase(number);  // it has nothing left to do but to end
  co_return std::move(shared->result);
}

}  // namespace berth::registry::server
