// Lines that fetch parts, and the one who reads them in order.
#include "registry/client/ranged_download.h"

#include <algorithm>

#include "base/format.h"
#include "registry/client/challenge.h"
#include "registry/client/content_range.h"
#include "registry/client/patience.h"

namespace berth::registry {

/// Takes the body of one answer, which must be the range that was asked for and nothing besides.
class RangedDownload::Sink : public storage::ByteSink {
 public:
  Sink(RangedDownload& download, Part& part) : download_(download), part_(part) {}

  Result<void> begin(const HttpAnswer& answer) const {
    if (answer.status != 206) {
      return failure(Kind::Unsupported, "the registry answers a range of blob {} with status {}",
                     download_.goal_.digest.str(), answer.status);
    }
    auto range = parse_content_range(answer.header("content-range"));
    uint64_t wanted = part_.plan.offset + part_.plan.have;
    bool right = range && range->first == wanted && range->last < part_.plan.end &&
                 range->total.value_or(download_.goal_.total) == download_.goal_.total;
    if (right) return {};
    return failure(Kind::Corrupt, "the registry sent another range of blob {} than was asked for",
                   download_.goal_.digest.str());
  }

  Result<void> write(std::string_view bytes) override {
    if (bytes.size() > part_.plan.end - part_.plan.offset - part_.plan.have) {
      return failure(Kind::Corrupt, "the registry sent more bytes of blob {} than were asked for",
                     download_.goal_.digest.str());
    }
    CHECK(part_.file->append(bytes));
    std::lock_guard lock(download_.mutex_);
    part_.plan.have += bytes.size();
    download_.received_ += bytes.size();
    download_.changed_.notify_all();
    return {};
  }

 private:
  RangedDownload& download_;
  Part& part_;
};

RangedDownload::RangedDownload(const storage::ContentStore& content, Goal goal, OpenSession open_session)
    : content_(content),
      goal_(std::move(goal)),
      open_session_(std::move(open_session)),
      position_(goal_.from) {}

Result<std::unique_ptr<RangedDownload>> RangedDownload::start(const storage::ContentStore& content, Goal goal,
                                                              OpenSession open_session) {
  std::unique_ptr<RangedDownload> download(
      new RangedDownload(content, std::move(goal), std::move(open_session)));
  const Goal& wanted = download->goal_;
  TRY(std::vector<storage::LeftPart> left, storage::left_parts(content, wanted.digest));
  for (const storage::PartPlan& plan :
       storage::plan_parts(wanted.from, wanted.total, wanted.part_size, std::move(left))) {
    Part& part = download->parts_.emplace_back(Part{.plan = plan});
    if (plan.have > 0) CHECK(download->open(part));
    // The first may begin with bytes that the blob's file has already.
    download->received_ +=
        plan.offset + plan.have - std::max(plan.offset, std::min(plan.offset + plan.have, wanted.from));
  }
  for (unsigned i = 0; i < wanted.lines; ++i)
    download->lines_.emplace_back([raw = download.get()] { raw->work(); });
  return download;
}

Result<void> RangedDownload::open(Part& part) const {
  TRY(part.file, storage::PartFile::open(content_, goal_.digest, part.plan.offset, part.plan.have));
  return {};
}

RangedDownload::~RangedDownload() {
  stop();
  lines_.clear();
}

void RangedDownload::stop() {
  stop_.request_stop();
  std::lock_guard lock(mutex_);
  changed_.notify_all();
}

uint64_t RangedDownload::ahead() const {
  std::lock_guard lock(mutex_);
  return received_ - std::min(received_, position_ - goal_.from);
}

/// The first that nobody fetches: what is wanted next comes first.
RangedDownload::Part* RangedDownload::take_part() {
  std::lock_guard lock(mutex_);
  for (size_t i = next_; i < parts_.size(); ++i) {
    Part& part = parts_[i];
    bool whole = part.plan.have == part.plan.end - part.plan.offset;
    if (!part.taken && !whole) {
      part.taken = true;
      return &part;
    }
  }
  return nullptr;
}

void RangedDownload::give_up(Error error) {
  {
    std::lock_guard lock(mutex_);
    if (!error_) error_ = std::move(error);
  }
  stop();
}

void RangedDownload::work() {
  std::unique_ptr<Session> session = open_session_(stop_.get_token());
  while (!stop_.stop_requested()) {
    Part* part = take_part();
    if (part == nullptr) return;
    auto fetched = fetch(*session, *part);
    if (!fetched) return give_up(std::move(fetched).error());
  }
}

/// Until the part is whole. The thread that fetches a part is the only one that changes what it has.
Result<void> RangedDownload::fetch(Session& session, Part& part) {
  if (!part.file) CHECK(open(part));
  Patience patience(goal_.most_attempts);
  while (true) {
    uint64_t before = part.plan.have;
    Sink sink(*this, part);
    Session::Request request{
        .target = goal_.target,
        .headers = {fmt::format("Range: bytes={}-{}", part.plan.offset + before, part.plan.end - 1)},
        .sink = &sink,
        .on_head = [&sink](const HttpAnswer& answer) { return sink.begin(answer); },
        .retry = Retry::No};
    HttpOutcome outcome = session.send(request);
    if (part.plan.have == part.plan.end - part.plan.offset) return {};
    if (outcome.trouble == Trouble::Fatal) return std::move(*outcome.error);
    long status = outcome.answer.status;
    bool refused = outcome.trouble == Trouble::None && status / 100 != 2 && !is_passing(status);
    patience.attempted(part.plan.have - before);
    if (refused || patience.exhausted()) {
      if (outcome.error) return std::move(*outcome.error);
      // It answers, though not with this range: not a line that is down (Unavailable).
      return Error(Kind::Unsupported, parse_registry_error(status, outcome.answer.body, "").str());
    }
    if (!sleep_unless_stopped(patience.pause(outcome.answer), stop_.get_token()))
      return Error(Kind::Cancelled, "context canceled");
  }
}

Result<size_t> RangedDownload::read(std::span<char> buffer) {
  std::unique_lock lock(mutex_);
  while (next_ < parts_.size()) {
    Part& part = parts_[next_];
    uint64_t inside = position_ - part.plan.offset;
    auto ready = [&] { return part.plan.have > inside || stop_.stop_requested(); };
    if (position_ < part.plan.end) {
      changed_.wait(lock, ready);
      if (part.plan.have <= inside) return error_ ? *error_ : Error(Kind::Cancelled, "context canceled");
      uint64_t length = std::min<uint64_t>(part.plan.have - inside, buffer.size());
      lock.unlock();
      storage::FileSource file(part.file->fd(), inside, length);
      TRY(size_t count, file.read(buffer.first(static_cast<size_t>(length))));
      if (count == 0) return Error(Kind::Corrupt, "a part of a download has become shorter");
      lock.lock();
      position_ += count;
      return count;
    }
    part.file->remove();
    part.file.reset();
    ++next_;
  }
  return 0;
}

}  // namespace berth::registry
