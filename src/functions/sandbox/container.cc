// The container of a sandbox: its wiring, its start and its end.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/format.h"
#include "base/log.h"
#include "functions/sandbox/function_sandbox.h"
#include "launch/keeper.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

constexpr int kBacklog = 64;
constexpr size_t kMaxConnections = 256;  // from inside one sandbox

io::HttpLimits api_limits() {
  // A frozen client must not be taken for one that stalls.
  return {.max_head_bytes = 64 << 10,
          .max_connections = kMaxConnections,
          .head_timeout = 24h,
          .body_timeout = 24h,
          .idle_timeout = 7 * 24h};
}

Result<sys::UniqueFd> listen_on_loopback(uint16_t port) {
  sys::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return Error::from_errno("socket", "runtime API", errno);
  int one = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error::from_errno("bind", fmt::format("127.0.0.1:{} in the sandbox", port), errno);
  }
  if (::listen(socket.get(), kBacklog) != 0) return Error::from_errno("listen", "runtime API", errno);
  return socket;
}

}  // namespace

FunctionSandbox::FunctionSandbox(SandboxServices& services, SandboxPlan plan)
    : services_(services), plan_(std::move(plan)) {
  made_ = std::chrono::steady_clock::now();
}

FunctionSandbox::~FunctionSandbox() {
  tasks_.destroy_all();
}

std::string_view FunctionSandbox::container_id() const {
  return container_ ? std::string_view(container_->id()) : std::string_view();
}

Result<engine::SandboxWiring> FunctionSandbox::wire() {
  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0) return Error::from_errno("pipe", "output", errno);
  sys::UniqueFd read_end(pipe[0]), write_end(pipe[1]);
  ::fcntl(read_end.get(), F_SETFL, O_NONBLOCK);
  // So that the sandbox's user can open /dev/stdout.
  if (::fchown(write_end.get(), kSandboxUid, kSandboxGid) != 0) {
    return Error::from_errno("chown", "output", errno);
  }
  engine::SandboxWiring wiring;
  sys::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  sys::UniqueFd also(::fcntl(write_end.get(), F_DUPFD_CLOEXEC, 0));
  if (!null || !also) return Error::from_errno("open", "/dev/null", errno);
  wiring.stdio.push_back(std::move(null));
  wiring.stdio.push_back(std::move(write_end));
  wiring.stdio.push_back(std::move(also));
  wiring.in_network = [this](const sys::NetworkNamespace& netns) { return open_sockets(netns); };
  wiring.start = engine::SandboxStart::WhenReleased;
  output_ = std::make_unique<OutputReader>(services_.loop, std::move(read_end),
                                           [this](std::string_view line) { log_line(line); });
  return wiring;
}

Result<void> FunctionSandbox::open_sockets(const sys::NetworkNamespace& netns) {
  if (!netns) {
    return Error(Kind::InvalidArgument,
                 "functions need a network namespace of their own: network mode \"host\" "
                 "is not possible");
  }
  sys::UniqueFd api, endpoint;
  if (!extensions_.empty() || plan_.web.port != 0) {
    netns_ = sys::UniqueFd(::fcntl(netns.fd(), F_DUPFD_CLOEXEC, 0));
    if (!netns_) return Error::from_errno("duplicate network namespace", plan_.container_name, errno);
  }
  if (!extensions_.empty()) {
    telemetry_ = std::make_unique<TelemetryFeed>(services_.loop, [this] { return socket_inside(); });
  }
  bool wants_endpoint = services_.endpoint && plan_.endpoint_port != 0;
  CHECK(netns.run_inside([&]() -> Result<void> {
    TRY(api, listen_on_loopback(kRuntimeApiPort));
    if (wants_endpoint) {
      TRY(endpoint, listen_on_loopback(plan_.endpoint_port));
    }
    return {};
  }));
  api_ = std::make_unique<io::HttpServer>(
      services_.loop, [this](io::Exchange& exchange) { return serve(exchange); }, api_limits());
  CHECK(api_->adopt(std::move(api)));
  if (!wants_endpoint) return {};
  endpoint_ = std::make_unique<io::HttpServer>(services_.loop, services_.endpoint,
                                               io::HttpLimits{.max_connections = kMaxConnections});
  return endpoint_->adopt(std::move(endpoint));
}

io::Task<Result<void>> FunctionSandbox::prepare() {
  CO_TRY(auto request, plan_sandbox(plan_));
  std::vector<std::string> external = external_extensions();
  // AWS's own adapter between Lambda and web servers does what web_adapter.cc would.
  bool adapted = std::find(external.begin(), external.end(), "lambda-adapter") != external.end();
  if (adapted) plan_.web = {};
  extensions_.expect(std::move(external));
  CO_TRY(request.wiring, wire());
  engine::Sandboxes sandboxes(services_.engine);
  io::Task<Result<std::unique_ptr<engine::Sandbox>>> start = sandboxes.start(std::move(request));
  CO_TRY(container_, co_await std::move(start));
  cold_.sandbox_us = static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - made_)
          .count());
  if (phase_ == Phase::Ending) {
    container_->kill();
  } else {
    phase_ = Phase::Prepared;
  }
  tasks_.spawn(watch_end());
  if (plan_.memory_follows_tmp) tasks_.spawn(guard_memory());
  co_return Result<void>();
}

void FunctionSandbox::run(EventPtr within) {
  phase_ = Phase::Init;
  init_started_ = std::chrono::steady_clock::now();
  // First of all, so that what is written down is written while the program starts.
  if (auto released = container_->release(); !released) {
    log::debug("sandbox {}: {}", plan_.container_name, released.error().message());
  }
  if (within) {
    begin_event(std::move(within));
  } else {
    std::string runtime = function().runtime.empty() ? "image" : function().runtime;
    if (telemetry_) {
      telemetry_->publish(TelemetryType::Platform, init_start_line(LogFormat::Json, berth::now(), runtime,
                                                                   function(), plan_.initialization));
    }
    log_platform(
        init_start_line(function().logging.format, berth::now(), runtime, function(), plan_.initialization));
    deadline_.set(services_.alarms, init_started_ + services_.init_timeout, [this] {
      init_fail({.type = "Sandbox.Timedout", .payload = {}, .text = {}, .timed_out = true});
    });
  }
  services_.log.flush();
  tasks_.spawn(watch_start());
}

io::Task<void> FunctionSandbox::watch_start() {
  io::Task<Result<void>> start = container_->started();
  auto started = co_await std::move(start);
  program_started_ = std::chrono::steady_clock::now();
  if (started) {
    for (const Extension& extension : extensions_.all()) {
      if (extension.external) tasks_.spawn(launch_extension(extension.name));
    }
    if (plan_.web.port != 0) tasks_.spawn(await_web_server());
  }
  if (started || phase_ != Phase::Init) co_return;
  const launch::LaunchFailure* failure = container_->failure();
  if (failure == nullptr) co_return;
  init_fail(launch_failure(*failure));
}

InitFailure FunctionSandbox::launch_failure(const launch::LaunchFailure& failure) const {
  InitFailure result;
  bool program = failure.exit_code == 126 || failure.exit_code == 127;
  if (!program) {
    log::error("function {}: sandbox: {}", function().name, failure.message);
    result.type = "Sandbox.Failure";
    result.text = "the sandbox could not be made";
    return result;
  }
  const char* why = failure.errno_value == ENOENT    ? "no such file or directory"
                    : failure.errno_value == EACCES  ? "permission denied"
                    : failure.errno_value == ENOEXEC ? "exec format error"
                    : failure.errno_value == EISDIR  ? "is a directory"
                                                     : "cannot be executed";
  result.type = "Runtime.InvalidEntrypoint";
  result.text = fmt::format("fork/exec {}: {}", failure.subject, why);
  return result;
}

io::Task<void> FunctionSandbox::watch_end() {
  io::Task<launch::ExitRecord> end = container_->ended();
  launch::ExitRecord record = co_await std::move(end);
  container_ended(record);
}

void FunctionSandbox::container_ended(const launch::ExitRecord& record) {
  if (output_) output_->drain_whole();
  // A program that could not be exec'd is told of by watch_start().
  int code = record.exit_code;
  bool could_not_start = container_->failure() != nullptr;
  if (phase_ == Phase::Init && !could_not_start && !init_error_) {
    init_fail({.type = "Runtime.ExitError", .payload = {}, .text = exit_text(code)});
  } else if (phase_ == Phase::Init && could_not_start) {
    init_fail(launch_failure(*container_->failure()));
  } else if (phase_ == Phase::Busy && event_) {
    fail_event("Runtime.ExitError", exit_text(code), ReportStatus::Failure);
  }
  phase_ = Phase::Ended;
  deadline_.cancel();
  debug_alarm_.cancel();
  kill_alarm_.cancel();
  freeze_alarm.cancel();
  idle_alarm.cancel();
  api_.reset();
  endpoint_.reset();
  output_.reset();
  telemetry_.reset();
  netns_.reset();
  extension_outputs_.clear();
  services_.log.flush();
  services_.owner.sandbox_ended(*this);
}

void FunctionSandbox::freeze() {
  if (phase_ != Phase::Idle || frozen_) return;
  frozen_ = container_->freeze().has_value();
}

void FunctionSandbox::end(std::string_view reason) {
  if (phase_ == Phase::Ending || phase_ == Phase::Ended) return;
  bool prepared = container_ != nullptr;
  bool ran = phase_ != Phase::Prepared && phase_ != Phase::Starting;
  phase_ = Phase::Ending;
  deadline_.cancel();
  freeze_alarm.cancel();
  idle_alarm.cancel();
  if (prepared && ran && begin_shutdown(reason)) return;
  if (prepared) container_->kill();
}

}  // namespace berth::functions
