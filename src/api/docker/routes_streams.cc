// /containers: what streams: wait, attach, logs, stats.
#include <sys/socket.h>

#include <algorithm>
#include <charconv>

#include "api/docker/router.h"
#include "api/docker/system_json.h"
#include "base/format.h"
#include "base/json.h"
#include "io/cancel.h"
#include "io/http_message.h"

namespace berth::api {
namespace {

using Outcome = io::Task<Result<void>>;

constexpr std::string_view raw_stream = "application/vnd.docker.raw-stream";
constexpr std::string_view multiplexed_stream = "application/vnd.docker.multiplexed-stream";

io::Task<Result<engine::WaitOutcome>> outcome_of(engine::ExitWaiter& waiter) {
  co_return co_await waiter.result();
}

Outcome wait(Context& context) {
  std::string name = context.text("condition", "not-running");
  engine::WaitCondition condition = engine::WaitCondition::NotRunning;
  if (name == "next-exit") {
    condition = engine::WaitCondition::NextExit;
  } else if (name == "removed") {
    condition = engine::WaitCondition::Removed;
  } else if (!name.empty() && name != "not-running") {
    co_return failure(Kind::InvalidArgument, "invalid condition: \"{}\"", name.substr(0, 64));
  }
  // Registered before the headers go out: a client that sees them may start the container at once.
  CO_TRY(auto waiter, context.engine().containers().wait(context.capture(), condition));
  if (context.since(1, 30)) CO_CHECK(co_await context.exchange().begin(200, "application/json"));
  CO_TRY(auto outcome, co_await io::unless_cancelled(outcome_of(*waiter), context.exchange().client_gone()));
  Json answer = wait_json(outcome);
  if (!context.since(1, 30)) co_return co_await context.json(200, std::move(answer));
  std::string body = to_json(answer) + "\n";
  CO_CHECK(co_await context.exchange().write(body));
  co_return co_await context.exchange().finish();
}

std::string_view stream_type(Context& context, const engine::ContainerRecord& record) {
  return record.config.tty || !context.since(1, 42) ? raw_stream : multiplexed_stream;
}

/// As docker answers on a connection that was to be taken over: the words alone, up to the connection's end,
/// by which its command knows to show them.
Outcome refuse_attach(Context& context, Error error) {
  const int status = http_status(error);
  const std::string answer = fmt::format("HTTP/1.1 {} {}\r\nContent-Type: {}\r\n\r\n{}\r\n", status,
                                         io::http_reason(status), raw_stream, error.message());
  CO_TRY(auto taken, co_await context.exchange().hijack_silently());
  // Less than any socket's buffer holds; a client that has gone misses nothing.
  (void)::send(taken.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  co_return Result<void>();
}

Outcome attach(Context& context) {
  engine::Attach request;
  request.stream = context.flag("stream");
  request.logs = context.flag("logs");
  request.input = context.flag("stdin");
  request.output = context.flag("stdout");
  request.error = context.flag("stderr");
  request.detach_keys = context.text("detachKeys");
  if (!request.detach_keys.empty()) {
    auto keys = engine::parse_detach_keys(request.detach_keys);
    if (!keys) {
      io::Task<Result<void>> refusal = refuse_attach(context, std::move(keys).error());
      co_return co_await std::move(refusal);
    }
  }
  auto allowed = context.engine().containers().check_attach(context.capture());
  if (!allowed) {
    io::Task<Result<void>> refusal = refuse_attach(context, std::move(allowed).error());
    co_return co_await std::move(refusal);
  }
  engine::ContainerPtr record = *allowed;
  // dockerode repeats the query as a body: that is no input of the container.
  if (context.exchange().request().body == io::HttpRequestHead::Body::Length) {
    CO_CHECK(co_await context.exchange().read_body(max_json_body));
  }
  request.framing = record->config.tty ? engine::Framing::Raw : engine::Framing::Multiplexed;
  std::string_view type = context.exchange().wants_upgrade() ? stream_type(context, *record) : raw_stream;
  std::string id = record->id;
  const bool wants_nothing = !request.stream && !request.logs;
  CO_TRY(auto hijacked, co_await context.exchange().hijack(type));
  // docker accepts the attachment and ends it at once.
  if (wants_nothing) co_return Result<void>();
  request.socket = std::move(hijacked.socket);
  request.received = std::move(hijacked.already_read);
  co_return co_await context.engine().containers().attach(std::move(id), std::move(request));
}

Result<engine::LogRequest> log_request(Context& context) {
  engine::LogRequest request;
  request.output = context.flag("stdout");
  request.error = context.flag("stderr");
  if (!request.output && !request.error) {
    return Error(Kind::InvalidArgument, "Bad parameters: you must choose at least one stream");
  }
  request.follow = context.flag("follow");
  request.timestamps = context.flag("timestamps");
  request.details = context.flag("details");
  Timestamp reference = now();
  if (std::string text = context.text("since"); !text.empty() && text != "0") {
    TRY(request.since, parse_time_reference(text, reference));
  }
  if (std::string text = context.text("until"); !text.empty() && text != "0") {
    TRY(request.until, parse_time_reference(text, reference));
  }
  std::string tail = context.text("tail", "all");
  uint64_t lines = 0;
  auto [end, error] = std::from_chars(tail.data(), tail.data() + tail.size(), lines);
  // docker takes everything that is not a number, and negative ones, for "all".
  if (error == std::errc{} && end == tail.data() + tail.size() && !tail.empty()) request.tail = lines;
  return request;
}

Outcome logs(Context& context) {
  CO_TRY(auto record, context.engine().containers().find(context.capture()));
  CO_TRY(auto request, log_request(context));
  CO_TRY(auto stream, context.engine().containers().logs(record->id, request));
  CO_CHECK(co_await context.exchange().begin(200, stream_type(context, *record)));
  io::CancelToken gone = context.exchange().client_gone();
  while (true) {
    CO_TRY(std::string_view bytes, co_await io::unless_cancelled(stream->next(), gone));
    if (bytes.empty()) break;
    CO_CHECK(co_await context.exchange().write(bytes));
  }
  co_return co_await context.exchange().finish();
}

Outcome write_sample(Context& context, std::string container, engine::StatsSample sample,
                     std::optional<engine::StatsSample> previous) {
  CO_TRY(auto record, context.engine().containers().find(container));
  std::string line = to_json(stats_json(*record, sample, previous)) + "\n";
  co_return co_await context.exchange().write(line);
}

/// One object, with a second sample a second later so that the client can tell the use of the cpu.
Outcome stats_once(Context& context, const engine::ContainerPtr& record, engine::StatsStream& stream,
                   bool one_shot) {
  CO_TRY(auto sample, co_await stream.sample());
  std::optional<engine::StatsSample> previous;
  bool running = to_unix_nanoseconds(sample.read) != 0;
  if (running && !one_shot) {
    CO_TRY(auto next, co_await io::unless_cancelled(stream.next(), context.exchange().client_gone()));
    previous = sample;
    if (next) sample = *next;
  }
  Json answer = stats_json(*record, sample, previous);
  co_return co_await context.json(200, std::move(answer));
}

Outcome stats(Context& context) {
  bool streaming = context.flag("stream", true);
  bool one_shot = context.since(1, 41) && context.flag("one-shot");
  if (streaming && one_shot) {
    co_return Error(Kind::InvalidArgument, "cannot have stream=true and one-shot=true");
  }
  CO_TRY(auto record, context.engine().containers().find(context.capture()));
  std::string id = record->id;
  CO_TRY(auto stream, context.engine().containers().stats(id));
  if (!streaming) co_return co_await stats_once(context, record, *stream, one_shot);
  CO_CHECK(co_await context.exchange().begin(200, "application/json"));
  CO_TRY(auto first, co_await stream->sample());
  CO_CHECK(co_await write_sample(context, id, first, std::nullopt));
  io::CancelToken gone = context.exchange().client_gone();
  engine::StatsSample previous = std::move(first);
  while (true) {
    CO_TRY(auto sample, co_await io::unless_cancelled(stream->next(), gone));
    if (!sample) break;
    if (auto written = co_await write_sample(context, id, *sample, previous); !written) {
      if (written.error().kind() == Kind::NotFound) break;
      co_return std::move(written).error();
    }
    previous = std::move(*sample);
  }
  co_return co_await context.exchange().finish();
}

constexpr Route routes[] = {
    {"POST", "/containers/{id}/wait", wait},
    {"POST", "/containers/{id}/attach", attach},
    {"GET", "/containers/{id}/logs", logs},
    {"GET", "/containers/{id}/stats", stats},
};

}  // namespace

std::span<const Route> container_stream_routes() {
  return routes;
}

}  // namespace berth::api
