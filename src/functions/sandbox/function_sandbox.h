// FunctionSandbox: one execution environment: a container, the Runtime API that it is served on a socket
// inside its own network namespace, and the phases that AWS documents: init, events one at a time, freeze and
// thaw, shutdown. It writes the platform's log lines and leaves the metering record of each event. It knows
// nothing of other sandboxes: what it has become it tells its owner.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "engine/engine.h"
#include "engine/sandboxes.h"
#include "functions/function_log.h"
#include "functions/sandbox/alarms.h"
#include "functions/sandbox/environment.h"
#include "functions/sandbox/event_run.h"
#include "functions/sandbox/extension_set.h"
#include "functions/sandbox/output_reader.h"
#include "functions/sandbox/platform_log.h"
#include "functions/sandbox/runtime_protocol.h"
#include "functions/sandbox/telemetry.h"
#include "io/http_server.h"
#include "io/task_group.h"

namespace berth::functions {

class FunctionSandbox;

/// Why an init came to nothing.
struct InitFailure {
  std::string type;     ///< "Runtime.ExitError", "Runtime.ImportModuleError", ...
  std::string payload;  ///< the error document; `{id}` in it stands for no request
  std::string text;     ///< of the log line; empty: none
  bool timed_out = false;
};

/// What a sandbox tells. Called from the middle of its work: act later (queue, spawn), end nothing at once.
class SandboxOwner {
 public:
  virtual ~SandboxOwner() = default;
  /// It waits for an event: init has ended well, or the event it had.
  virtual void sandbox_idle(FunctionSandbox& sandbox) = 0;
  /// Its init failed; it is being ended.
  virtual void sandbox_init_failed(FunctionSandbox& sandbox, InitFailure failure) = 0;
  /// Nothing of it runs any more. The last call.
  virtual void sandbox_ended(FunctionSandbox& sandbox) = 0;
};

/// What all sandboxes of an invoker share.
struct SandboxServices {
  io::EventLoop& loop;
  engine::Engine& engine;
  FunctionLog& log;
  MeteringSink& metering;
  Alarms& alarms;
  SandboxOwner& owner;
  std::function<io::Task<void>(io::Exchange&)> endpoint;  ///< AWS's APIs inside; may be empty
  std::chrono::milliseconds init_timeout;
  size_t max_response_bytes;
};

class FunctionSandbox {
 public:
  enum class Phase { Starting, Prepared, Init, Idle, Busy, Ending, Ended };

  FunctionSandbox(SandboxServices& services, SandboxPlan plan);
  FunctionSandbox(const FunctionSandbox&) = delete;
  ~FunctionSandbox();

  /// Makes the container: everything but the program. Then Phase::Prepared, and run() starts the program.
  io::Task<Result<void>> prepare();
  /// Starts the program: Phase::Init, or with an event whose own time the init takes.
  void run(EventPtr within = nullptr);
  /// For one that could not be prepared: the event ends with this error, in log and outcome.
  void refuse(EventPtr event, std::string type, std::string text);
  /// Hands an event to an idle sandbox.
  void give(EventPtr event);
  void freeze();
  /// It has answered its event and will be idle in a moment.
  bool finishing() const { return phase_ == Phase::Busy && runtime_ == RuntimeState::ResponseSent; }
  /// Ends it: SIGTERM and a moment first where an extension has asked for that, else SIGKILL.
  void end(std::string_view reason = "spindown");

  Phase phase() const { return phase_; }
  bool frozen() const { return frozen_; }
  const SandboxPlan& plan() const { return plan_; }
  const FunctionVersion& function() const { return *plan_.function; }
  const EventPtr& event() const { return event_; }
  std::string_view container_id() const;
  uint64_t events() const { return events_; }
  io::SteadyTime idle_since() const { return idle_since_; }

  // For the pool that owns it.
  Alarms::Alarm freeze_alarm, idle_alarm;
  bool pooled = false;    ///< it was prepared before an event asked for it
  bool starting = false;  ///< it is counted as one that an event waits for

 private:
  struct NextCall;  ///< a /next that waits

  // container.cc: the container and its end.
  Result<engine::SandboxWiring> wire();
  Result<void> open_sockets(const sys::NetworkNamespace& netns);
  io::Task<void> watch_start();
  io::Task<void> watch_end();
  void container_ended(const launch::ExitRecord& record);
  InitFailure launch_failure(const launch::LaunchFailure& failure) const;

  // runtime_api.cc: what the runtime says.
  io::Task<void> serve(io::Exchange& exchange);
  io::Task<void> serve_next(io::Exchange& exchange);
  io::Task<void> serve_response(io::Exchange& exchange, std::string request_id);
  io::Task<void> serve_error(io::Exchange& exchange, std::string request_id);
  io::Task<void> serve_init_error(io::Exchange& exchange);
  io::Task<Result<std::string>> read_payload(io::Exchange& exchange, size_t limit, bool& too_large);
  io::Task<void> stream_response(io::Exchange& exchange, EventPtr event);
  io::Task<Result<void>> deliver(io::Exchange& exchange, EventPtr event);

  // web_adapter.cc: programs that are web servers.
  io::Task<Result<void>> ask_web_server();
  io::Task<void> await_web_server();
  io::Task<void> serve_event_by_web(EventPtr event);
  WebContext web_context(const EventRun& event) const;
  void answer_event(std::string payload, std::string error_type);

  // extensions.cc
  std::vector<std::string> external_extensions() const;
  io::Task<void> launch_extension(std::string name);
  io::Task<void> serve_extension(io::Exchange& exchange, std::string_view call);
  io::Task<void> serve_register(io::Exchange& exchange);
  io::Task<void> serve_extension_next(io::Exchange& exchange, std::string id);
  void tell_extensions_of_event();
  /// False: nobody is to be told, end at once.
  bool begin_shutdown(std::string_view reason);
  void stop_runtime();

  // telemetry_api.cc
  Result<sys::UniqueFd> socket_inside() const;
  io::Task<void> serve_telemetry(io::Exchange& exchange);
  void publish_platform(std::string_view type, std::string record);
  void publish_init_done(uint64_t duration_us);
  void publish_runtime_done();

  // memory.cc: /tmp is not the function's memory.
  io::Task<void> guard_memory();

  // events.cc: the phases.
  void check_init();
  void extension_done();
  void become_idle();
  void init_done();
  void init_fail(InitFailure failure);
  void begin_event(EventPtr event);
  void set_deadline();
  void watch_debugger();
  void hand_over();
  void runtime_wants_more();
  void answer(std::string payload, std::string function_error, std::string error_type);
  void finish_event();
  void fail_event(std::string type, std::string text, ReportStatus status);

  enum class LineSource { Function, Extension, Platform };
  void log_line(std::string_view line, LineSource source = LineSource::Function);
  void log_platform(std::string line);
  InvocationRecord make_record(const EventRun& event) const;

  SandboxServices& services_;
  SandboxPlan plan_;
  Phase phase_ = Phase::Starting;
  RuntimeState runtime_ = RuntimeState::Started;
  bool frozen_ = false;
  uint64_t events_ = 0;
  std::unique_ptr<engine::Sandbox> container_;
  std::unique_ptr<OutputReader> output_;
  std::unique_ptr<io::HttpServer> api_;
  std::unique_ptr<io::HttpServer> endpoint_;

  ExtensionSet extensions_;
  sys::UniqueFd netns_;  ///< where there are extensions or a web server: for connections to them
  std::unique_ptr<TelemetryFeed> telemetry_;
  std::vector<std::unique_ptr<OutputReader>> extension_outputs_;
  io::Condition extension_event_;
  bool stopping_ = false;      ///< shutdown has begun
  bool runtime_done_ = false;  ///< of the event under way; extensions may still work on it

  EventPtr event_;
  NextCall* next_ = nullptr;
  ReportStatus event_status_ = ReportStatus::Success;
  std::string event_error_type_;
  bool undelivered_ = false;    ///< the runtime went away while the event was sent to it
  uint64_t response_size_ = 0;  ///< of a response that is too large, as far as it was seen

  io::SteadyTime made_{};
  io::SteadyTime program_started_{};
  io::SteadyTime init_started_{};
  uint64_t init_us_ = 0;  ///< of the init just done, until an event has told of it
  InvocationRecord::ColdStart cold_;
  io::SteadyTime idle_since_{};
  std::optional<InitFailure> init_error_;
  Alarms::Alarm deadline_;
  Alarms::Alarm debug_alarm_;
  Alarms::Alarm answer_alarm_;
  Alarms::Alarm kill_alarm_;
  io::TaskGroup tasks_;  ///< last: its frames use all the others
};

}  // namespace berth::functions
