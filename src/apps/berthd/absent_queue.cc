#include "apps/berthd/absent_queue.h"

namespace berth::berthd {

io::Task<Result<void>> AbsentQueue::enqueue(functions::AsyncEvent) {
  co_return Error(Kind::Unavailable, "This berthd keeps no asynchronous events");
}

}  // namespace berth::berthd
