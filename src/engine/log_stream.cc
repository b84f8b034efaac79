// Logs as clients read them: LogCursor, woken by inotify while the container runs.
#include "engine/log_stream.h"

#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>

#include "base/format.h"
#include "engine/core.h"
#include "engine/log_cursor.h"
#include "engine/log_drivers.h"

namespace berth::engine {
namespace {

/// Go's url.QueryEscape.
std::string query_escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                 c == '_' || c == '.' || c == '~';
    if (plain) {
      escaped.push_back(c);
    } else if (c == ' ') {
      escaped.push_back('+');
    } else {
      escaped += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return escaped;
}

/// What --details puts before each line: what --log-opt labels=, env= and their like name, and json-file's
/// tag.
std::string details_of(const ContainerRecord& record) {
  std::string text;
  auto attributes = log_attributes(record);
  const spec::LogConfig& log = record.host_config.log_config;
  auto tag = log.config.find("tag");
  if (log.type == "json-file" && tag != log.config.end() && !tag->second.empty())
    attributes["tag"] = log_origin(record, {.tag = tag->second}, {}).tag;
  for (const auto& [name, value] : attributes) {
    text += (text.empty() ? "" : ",") + query_escape(name) + "=" + query_escape(value);
  }
  return text + " ";
}

LogQuery query_of(const ContainerRecord& record, const LogRequest& request) {
  LogQuery query;
  query.standard_output = request.output;
  query.standard_error = request.error;
  if (request.since) query.since = *request.since;
  query.until = request.until;
  query.tail = request.tail;
  query.extent = request.follow ? LogExtent::Growing : LogExtent::AsOfNow;
  query.timestamps = request.timestamps ? LogTimestamps::Yes : LogTimestamps::No;
  Framing framing = request.framing.value_or(record.config.tty ? Framing::Raw : Framing::Multiplexed);
  query.framing = framing == Framing::Raw ? LogFraming::Raw : LogFraming::Multiplexed;
  if (request.details) query.prefix = details_of(record);
  return query;
}

class ContainerLogStream : public LogStream {
 public:
  ContainerLogStream(Core& core, ContainerHandle container, const LogRequest& request)
      : core_(core),
        container_(std::move(container)),
        path_(container_->record.log_path),
        query_(query_of(container_->record, request)),
        follow_(request.follow) {}
  ~ContainerLogStream() override { tasks_.destroy_all(); }

  io::Task<Result<std::string_view>> next() override {
    if (!cursor_) CO_CHECK(co_await open());
    out_.clear();
    while (out_.empty() && !ended_) {
      // Asked before reading: what was written until the end is then read for certain.
      bool over = !follow_ || is_over();
      CO_TRY(LogCursor::State state, cursor_->read(out_));
      if (state == LogCursor::State::More) break;
      bool past_until = query_.until && now() > *query_.until;
      ended_ = state == LogCursor::State::Finished || over || past_until;
      if (ended_) cursor_->flush(out_);
      if (out_.empty() && !ended_) co_await wait_for_more();
    }
    if (out_.capacity() > size_t{1} << 20) out_.shrink_to_fit();
    co_return std::string_view(out_);
  }

 private:
  /// Counting the lines of --tail reads the whole log: not on the loop's thread.
  io::Task<Result<void>> open() {
    if (follow_) CO_CHECK(start_watching());
    std::string path = path_;
    LogQuery query = query_;
    auto work = [path, query] { return LogCursor::open(path, query); };
    CO_TRY(LogCursor cursor, co_await core_.loop.on_worker(work));
    cursor_.emplace(std::move(cursor));
    co_return Result<void>();
  }

  bool is_over() const {
    if (container_->removed) return true;
    Status status = container_->record.state.status;
    // Also of a container that has never run: docker's followers do not wait for its start.
    return !is_alive(status) && container_->run == nullptr;
  }

  Result<void> start_watching() {
    watch_ = sys::UniqueFd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
    if (!watch_) return Error::from_errno("watch log", path_, errno);
    std::string directory = path_.substr(0, path_.rfind('/'));
    uint32_t changes = IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_DELETE | IN_DELETE_SELF | IN_MOVE_SELF;
    if (::inotify_add_watch(watch_.get(), directory.c_str(), changes) < 0) {
      return Error::from_errno("watch log", directory, errno);
    }
    tasks_.spawn(watch_file());
    tasks_.spawn(watch_events());
    if (query_.until) tasks_.spawn(watch_clock());
    return {};
  }

  io::Task<void> watch_file() {
    char buffer[4096];
    while (true) {
      if (auto ready = co_await core_.loop.readable(watch_.get()); !ready) co_return;
      while (::read(watch_.get(), buffer, sizeof buffer) > 0) {
      }
      wake_.set();
    }
  }

  /// Starts, ends and removal of this container.
  io::Task<void> watch_events() {
    EventLog::Query query;
    query.filters = {{"container", {container_->record.id}}, {"event", {"start", "die", "destroy"}}};
    auto subscription = core_.events.subscribe(std::move(query));
    while (auto event = co_await subscription.next()) wake_.set();
  }

  io::Task<void> watch_clock() {
    auto left = *query_.until - now();
    if (left.count() > 0) co_await core_.loop.sleep_for(left);
    wake_.set();
  }

  io::Task<void> wait_for_more() {
    co_await wake_.wait();
    wake_.reset();
  }

  Core& core_;
  ContainerHandle container_;
  std::string path_;
  LogQuery query_;
  bool follow_;
  bool ended_ = false;
  std::optional<LogCursor> cursor_;
  std::string out_;
  sys::UniqueFd watch_;
  io::Event wake_;
  io::TaskGroup tasks_;
};

}  // namespace

Result<std::unique_ptr<LogStream>> Containers::logs(std::string_view reference, LogRequest request) {
  TRY(ContainerHandle container, core_.containers.find(reference));
  if (container->record.host_config.log_config.type == "none") {
    return Error(Kind::InvalidArgument, "configured logging driver does not support reading");
  }
  return std::unique_ptr<LogStream>(new ContainerLogStream(core_, std::move(container), request));
}

}  // namespace berth::engine
