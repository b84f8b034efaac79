// Downloading by one line or several, resuming, following.
#include "registry/client/blob_transfer.h"

#include <algorithm>

#include "base/format.h"
#include "registry/client/content_range.h"
#include "registry/client/patience.h"
#include "registry/client/ranged_download.h"
#include "registry/client/repository.h"
#include "storage/download_parts.h"

namespace berth::registry {
namespace {

using namespace std::chrono_literals;

constexpr auto report_every = 100ms;

/// A blob of which so much is missing is begun with a range, to learn whether the registry answers ranges and
/// how fast its line is.
constexpr uint64_t least_for_ranges = 16u << 20;
/// Bytes a second. A line that is faster feeds the unpacking, which several lines would only disturb.
constexpr double fast_line = 64 << 20;
constexpr unsigned lines_of_a_blob = 4;
constexpr uint64_t least_part = 4u << 20;
constexpr uint64_t largest_part = 32u << 20;

bool is_foreign(const spec::Descriptor& descriptor) {
  bool type = descriptor.media_type.find("nondistributable") != std::string::npos ||
              descriptor.media_type.find(".foreign.") != std::string::npos;
  return type && !descriptor.urls.empty();
}

}  // namespace

bool TransferSlots::take(const std::stop_token& stop, const std::function<void()>& waiting) {
  std::unique_lock lock(mutex_);
  uint64_t ticket = next_ticket_++;
  auto my_turn = [&] {
    while (left_.erase(served_) > 0) ++served_;
    return free_ > 0 && served_ == ticket;
  };
  if (!my_turn()) {
    lock.unlock();
    waiting();
    lock.lock();
  }
  if (!changed_.wait(lock, stop, my_turn)) {
    left_.emplace(ticket, true);
    changed_.notify_all();
    return false;
  }
  --free_;
  ++served_;
  changed_.notify_all();
  return true;
}

void TransferSlots::give_back() {
  std::lock_guard lock(mutex_);
  ++free_;
  changed_.notify_all();
}

/// A reader of the growing file.
class BlobTransfer::Follower : public storage::ByteSource {
 public:
  Follower(BlobTransfer& transfer, std::stop_token stop) : transfer_(transfer), stop_(std::move(stop)) {}

  Result<size_t> read(std::span<char> buffer) override {
    std::unique_lock lock(transfer_.mutex_);
    auto ready = [&] { return transfer_.size_ > offset_ || transfer_.state_ != State::Running; };
    if (!transfer_.changed_.wait(lock, stop_, ready)) return Error(Kind::Cancelled, "context canceled");
    if (transfer_.size_ <= offset_) {
      if (transfer_.state_ == State::Failed) return *transfer_.error_;
      return 0;
    }
    auto left = static_cast<size_t>(std::min<uint64_t>(transfer_.size_ - offset_, buffer.size()));
    int fd = transfer_.ingest_->fd();
    lock.unlock();
    storage::FileSource file(fd, offset_, left);
    TRY(size_t count, file.read(buffer.subspan(0, left)));
    if (count == 0) return Error(Kind::Corrupt, "a download's file has become shorter");
    offset_ += count;
    return count;
  }

 private:
  BlobTransfer& transfer_;
  std::stop_token stop_;
  uint64_t offset_ = 0;
};

/// Takes the body of one answer: of a range, or of the whole, whose beginning is there already.
class BlobTransfer::Sink : public storage::ByteSink {
 public:
  explicit Sink(BlobTransfer& transfer) : transfer_(transfer) {}

  /// `offset`: the first byte that is wanted.
  Result<void> begin(const HttpAnswer& answer, uint64_t offset) {
    if (answer.status == 206) {
      auto total = static_cast<uint64_t>(transfer_.descriptor_.size);
      auto range = parse_content_range(answer.header("content-range"));
      if (!range || range->first != offset || range->total.value_or(total) != total)
        return failure(Kind::Corrupt, "the registry sent another range of blob {} than was asked for",
                       transfer_.descriptor_.digest.str());
      left_ = range->last - range->first + 1;
      is_range_ = true;
      return {};
    }
    if (answer.status != 200)
      return failure(Kind::Unavailable, "unexpected status {} for blob {}", answer.status,
                     transfer_.descriptor_.digest.str());
    skip_ = offset;
    return {};
  }

  Result<void> write(std::string_view bytes) override {
    uint64_t skipped = std::min<uint64_t>(skip_, bytes.size());
    skip_ -= skipped;
    bytes.remove_prefix(skipped);
    if (bytes.empty()) return {};
    if (is_range_ && bytes.size() > left_)
      return failure(Kind::Corrupt, "the registry sent more bytes of blob {} than its range has",
                     transfer_.descriptor_.digest.str());
    left_ -= is_range_ ? bytes.size() : 0;
    CHECK(transfer_.ingest_->write(bytes));
    transfer_.grown(transfer_.ingest_->size());
    return {};
  }

  /// All of a range has come.
  bool has_whole_range() const { return is_range_ && left_ == 0; }

 private:
  BlobTransfer& transfer_;
  uint64_t skip_ = 0;
  uint64_t left_ = 0;
  bool is_range_ = false;
};

BlobTransfer::BlobTransfer(storage::ContentStore& content, TransferSlots& slots, BlobOrigin origin,
                           spec::Descriptor descriptor)
    : content_(content), slots_(slots), origin_(std::move(origin)), descriptor_(std::move(descriptor)) {}

BlobTransfer::~BlobTransfer() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void BlobTransfer::start() {
  thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

void BlobTransfer::listen(const std::shared_ptr<BlobListener>& listener) {
  {
    std::lock_guard lock(mutex_);
    listeners_.push_back(listener);
    if (state_ != State::Verified) return;
  }
  (*listener)({BlobEvent::Kind::Complete});
}

std::unique_ptr<storage::ByteSource> BlobTransfer::reader(std::stop_token stop) {
  return std::make_unique<Follower>(*this, std::move(stop));
}

Result<void> BlobTransfer::wait(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return state_ != State::Running; }))
    return Error(Kind::Cancelled, "context canceled");
  if (state_ == State::Failed) return *error_;
  return {};
}

Result<storage::BlobInfo> BlobTransfer::commit() {
  std::lock_guard lock(mutex_);
  if (committed_) return *committed_;
  if (state_ != State::Verified) return Error(Kind::Internal, "an unfinished download cannot be published");
  // The snapshotter syncs layers and their blobs together, and checks both after a crash of the machine.
  TRY(storage::BlobInfo info, ingest_->commit(sys::Durability::None));
  committed_ = info;
  return info;
}

void BlobTransfer::discard() {
  std::lock_guard lock(mutex_);
  if (ingest_) ingest_->discard();
  if (ingest_) storage::remove_parts(content_, descriptor_.digest);
}

bool BlobTransfer::failed() const {
  std::lock_guard lock(mutex_);
  return state_ == State::Failed;
}
bool BlobTransfer::complete() const {
  std::lock_guard lock(mutex_);
  return state_ == State::Verified;
}
bool BlobTransfer::was_resumed() const {
  std::lock_guard lock(mutex_);
  return resumed_;
}

void BlobTransfer::tell(BlobEvent event) {
  std::vector<std::shared_ptr<BlobListener>> present;
  {
    std::lock_guard lock(mutex_);
    for (const auto& weak : listeners_) {
      if (auto listener = weak.lock()) present.push_back(std::move(listener));
    }
  }
  for (const auto& listener : present) (*listener)(event);
}

void BlobTransfer::grown(uint64_t size, uint64_t ahead) {
  {
    std::lock_guard lock(mutex_);
    size_ = std::max(size_, size);
  }
  changed_.notify_all();
  auto now = std::chrono::steady_clock::now();
  if (now - told_ < report_every) return;
  told_ = now;
  tell({BlobEvent::Kind::Downloading, size + ahead, static_cast<uint64_t>(descriptor_.size)});
}

void BlobTransfer::run(const std::stop_token& stop) {
  auto done = transfer(stop);
  {
    std::lock_guard lock(mutex_);
    state_ = done ? State::Verified : State::Failed;
    if (!done) error_ = done.error();
    // What cannot be right is of no use to a later attempt.
    bool useless = !done && done.error().kind() == Kind::Corrupt && ingest_;
    if (useless) ingest_->discard();
    if (useless || done) storage::remove_parts(content_, descriptor_.digest);
  }
  if (done) tell({BlobEvent::Kind::Complete});
  changed_.notify_all();
}

Result<void> BlobTransfer::transfer(const std::stop_token& stop) {
  if (!slots_.take(stop, [this] { tell({BlobEvent::Kind::Waiting}); }))
    return Error(Kind::Cancelled, "context canceled");
  auto done = download(stop);
  slots_.give_back();
  CHECK(std::move(done));
  return verify();
}

Result<void> BlobTransfer::open_file(const std::stop_token& stop) {
  while (true) {
    auto ingest =
        content_.resume({.digest = descriptor_.digest, .size = static_cast<uint64_t>(descriptor_.size)});
    if (ingest) {
      std::lock_guard lock(mutex_);
      ingest_ = std::move(*ingest);
      auto parts = storage::left_parts(content_, descriptor_.digest);
      has_parts_ = parts && !parts->empty();
      resumed_ = ingest_->size() > 0 || has_parts_;
      break;
    }
    // A transfer that was stopped a moment ago has not let go yet.
    if (ingest.error().kind() != Kind::Unavailable) return std::move(ingest).error();
    if (!sleep_unless_stopped(50ms, stop)) return Error(Kind::Cancelled, "context canceled");
  }
  if (ingest_->size() > 0) grown(ingest_->size());
  return {};
}

std::string BlobTransfer::target() const {
  return "v2/" + origin_.repository + "/blobs/" + descriptor_.digest.str();
}

bool BlobTransfer::can_have_ranges() const {
  return !no_ranges_ && !is_foreign(descriptor_);
}

/// Whether enough is missing for several lines.
bool BlobTransfer::is_worth_ranges() const {
  auto total = static_cast<uint64_t>(descriptor_.size);
  return can_have_ranges() && total - std::min(total, ingest_->size()) >= least_for_ranges;
}

HttpOutcome BlobTransfer::request(Session& session, Sink& sink, uint64_t end) {
  uint64_t offset = ingest_->size();
  Session::Request request{
      .target = target(),
      .sink = &sink,
      .on_head = [&sink, offset](const HttpAnswer& answer) { return sink.begin(answer, offset); },
      .retry = Retry::No};
  if (end > 0)
    request.headers.push_back(fmt::format("Range: bytes={}-{}", offset, end - 1));
  else if (offset > 0)
    request.headers.push_back(fmt::format("Range: bytes={}-", offset));
  if (!is_foreign(descriptor_)) return session.send(request);
  HttpOutcome outcome;
  for (const std::string& text : descriptor_.urls) {
    auto url = Url::parse(text);
    if (!url) {
      outcome = {.trouble = Trouble::Fatal, .error = std::move(url).error()};
      continue;
    }
    outcome = session.send_foreign(request, *url);
    bool good = outcome.trouble == Trouble::None && outcome.answer.status / 100 == 2;
    if (good || session.stop_token().stop_requested()) return outcome;
  }
  return outcome;
}

Result<bool> BlobTransfer::attempt(Session& session, HttpOutcome& outcome) {
  Sink sink(*this);
  uint64_t before = ingest_->size();
  uint64_t end = is_worth_ranges() ? std::min(before + range_, static_cast<uint64_t>(descriptor_.size)) : 0;
  auto began = std::chrono::steady_clock::now();
  outcome = request(session, sink, end);
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  auto wanted = static_cast<uint64_t>(descriptor_.size);
  if (end > 0 && sink.has_whole_range()) {
    line_is_slow_ = static_cast<double>(ingest_->size() - before) < fast_line * took.count();
    range_ *= 2;
  }
  if (ingest_->size() == wanted) return true;
  if (outcome.trouble == Trouble::Fatal) return std::move(*outcome.error);
  long status = outcome.answer.status;
  if (outcome.trouble == Trouble::None && status == 416) {
    CHECK(ingest_->restart());
    std::lock_guard lock(mutex_);
    size_ = 0;  // followers wait until the same bytes are there again
    return false;
  }
  bool refused = outcome.trouble == Trouble::None && status / 100 != 2 && !is_passing(status);
  if (refused) {
    RegistryError error =
        parse_registry_error(status, outcome.answer.body, outcome.answer.header_list("www-authenticate"));
    Kind kind = status == 404 ? Kind::NotFound : status == 401 ? Kind::Unauthenticated : Kind::Unavailable;
    return Error(kind, error.str());
  }
  return false;
}

/// The rest by several lines, as far as they come.
Result<void> BlobTransfer::read_ranges(size_t endpoint, const std::stop_token& stop) {
  auto total = static_cast<uint64_t>(descriptor_.size);
  uint64_t part_size = std::clamp((total - ingest_->size()) / 16, least_part, largest_part);
  auto open_session = [this, endpoint](std::stop_token line_stop) {
    return std::make_unique<Session>(origin_.surroundings, origin_.endpoints[endpoint], origin_.repository,
                                     origin_.credentials, Access::Pull, std::move(line_stop));
  };
  TRY(auto ranges,
      RangedDownload::start(content_,
                            {.target = target(),
                             .digest = descriptor_.digest,
                             .from = ingest_->size(),
                             .total = total,
                             .part_size = part_size,
                             .lines = lines_of_a_blob,
                             .most_attempts = origin_.surroundings.settings->max_download_attempts},
                            open_session));
  std::stop_callback stopping(stop, [&ranges] { ranges->stop(); });
  std::vector<char> buffer(256u << 10);
  while (true) {
    TRY(size_t count, ranges->read(buffer));
    if (count == 0) return {};
    CHECK(ingest_->write({buffer.data(), count}));
    grown(ingest_->size(), ranges->ahead());
  }
}

/// An error only where one line would not come further either: what has come stays on the disk. A registry
/// that does not keep to ranges is left with one line.
Result<void> BlobTransfer::download_ranges(size_t endpoint, const std::stop_token& stop) {
  has_parts_ = false;
  auto done = read_ranges(endpoint, stop);
  if (done) return {};
  if (stop.stop_requested()) return Error(Kind::Cancelled, "context canceled");
  if (done.error().kind() == Kind::Unavailable) return done;
  no_ranges_ = true;
  storage::remove_parts(content_, descriptor_.digest);
  return {};
}

Result<void> BlobTransfer::download(const std::stop_token& stop) {
  CHECK(open_file(stop));
  auto wanted = static_cast<uint64_t>(descriptor_.size);
  if (ingest_->size() == wanted) return {};
  size_t endpoint = 0;
  auto open_session = [&] {
    return std::make_unique<Session>(origin_.surroundings, origin_.endpoints[endpoint], origin_.repository,
                                     origin_.credentials, Access::Pull, stop);
  };
  auto session = open_session();
  Patience patience(origin_.surroundings.settings->max_download_attempts);
  while (true) {
    // A download that was by ranges goes on by ranges: what is on the disk is in parts.
    bool by_ranges = has_parts_ ? can_have_ranges() : line_is_slow_ && is_worth_ranges();
    if (by_ranges) {
      auto ranged = download_ranges(endpoint, stop);
      bool other = !ranged && endpoint + 1 < origin_.endpoints.size() && !stop.stop_requested();
      if (!ranged && !other) return ranged;
      if (ingest_->size() == wanted) return {};
      if (other) {
        ++endpoint;
        session = open_session();
        has_parts_ = true;
        continue;
      }
    }
    uint64_t before = ingest_->size();
    HttpOutcome outcome;
    auto done = attempt(*session, outcome);
    if (done && *done) return {};
    if (stop.stop_requested()) return Error(Kind::Cancelled, "context canceled");
    patience.attempted(ingest_->size() - std::min(before, ingest_->size()));
    bool other_scheme = endpoint + 1 < origin_.endpoints.size() &&
                        origin_.endpoints[endpoint].base.host == origin_.endpoints[endpoint + 1].base.host;
    bool wrong_scheme = other_scheme && outcome.trouble == Trouble::Connect;
    bool exhausted = !done || wrong_scheme || patience.exhausted();
    if (exhausted && endpoint + 1 < origin_.endpoints.size()) {
      ++endpoint;
      session = open_session();
      patience = Patience(origin_.surroundings.settings->max_download_attempts);
      line_is_slow_ = false;
      continue;
    }
    if (!done) return std::move(done).error();
    if (exhausted && outcome.error) return std::move(*outcome.error);
    if (exhausted)
      return failure(Kind::Unavailable, "blob {}: {}", descriptor_.digest.str(),
                     parse_registry_error(outcome.answer.status, outcome.answer.body, "").str());
    auto pause = patience.pause(outcome.answer);
    if (pause >= 1s)
      tell({BlobEvent::Kind::Retrying,
            static_cast<uint64_t>(std::chrono::ceil<std::chrono::seconds>(pause).count())});
    if (!sleep_unless_stopped(pause, stop)) return Error(Kind::Cancelled, "context canceled");
  }
}

Result<void> BlobTransfer::verify() {
  tell({BlobEvent::Kind::Verifying});
  TRY(Digest digest, ingest_->finish());
  if (digest == descriptor_.digest) return {};
  return failure(Kind::Corrupt, "filesystem layer verification failed for digest {}",
                 descriptor_.digest.str());
}

std::shared_ptr<BlobTransfer> BlobFetcher::fetch(const BlobOrigin& origin,
                                                 const spec::Descriptor& descriptor) {
  std::lock_guard lock(mutex_);
  std::erase_if(transfers_, [](const auto& entry) { return entry.second.expired(); });
  auto& known = transfers_[descriptor.digest];
  auto transfer = known.lock();
  if (transfer && !transfer->failed() && transfer->descriptor().size == descriptor.size) return transfer;
  transfer = std::make_shared<BlobTransfer>(content_, slots_, origin, descriptor);
  known = transfer;
  transfer->start();
  return transfer;
}

}  // namespace berth::registry
