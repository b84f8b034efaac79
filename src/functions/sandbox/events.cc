// The phases of a sandbox: init, events one after the other, and what is written down about each.
#include <algorithm>

#include "base/format.h"
#include "base/log.h"
#include "functions/sandbox/function_sandbox.h"
#include "sys/debugger.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

/// A runtime that has answered asks for the next event at once. One that goes on working first must not keep
/// the caller waiting.
constexpr auto kAnswerGrace = 3ms;
constexpr size_t kTailBytes = 4096;
constexpr auto kDebugTick = 100ms;

uint64_t microseconds_between(io::SteadyTime from, io::SteadyTime to) {
  auto passed = std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
  return passed > 0 ? static_cast<uint64_t>(passed) : 0;
}

uint64_t whole_milliseconds(uint64_t microseconds) {
  return (microseconds + 999) / 1000;
}

int64_t to_milliseconds_since_epoch(Timestamp time) {
  return to_unix_nanoseconds(time) / 1'000'000;
}

}  // namespace

void FunctionSandbox::log_line(std::string_view line, LineSource source) {
  if (telemetry_ && source != LineSource::Platform) {
    auto type = source == LineSource::Function ? TelemetryType::Function : TelemetryType::Extension;
    if (telemetry_->wants(type)) telemetry_->publish_line(type, to_milliseconds(berth::now()), line);
  }
  if (event_ && event_->invocation.log_tail && event_->counting) {
    event_->tail.append(line);
    if (event_->tail.size() > 2 * kTailBytes) event_->tail.erase(0, event_->tail.size() - kTailBytes);
  }
  services_.log.append(function().realm, plan_.log_group, plan_.log_stream,
                       to_milliseconds_since_epoch(berth::now()), line);
}

void FunctionSandbox::log_platform(std::string line) {
  log_line(line, LineSource::Platform);
}

void FunctionSandbox::check_init() {
  if (phase_ == Phase::Init && runtime_ == RuntimeState::Ready && extensions_.all_ready()) init_done();
}

void FunctionSandbox::init_done() {
  extensions_.close_registration();
  deadline_.cancel();
  auto now = std::chrono::steady_clock::now();
  cold_.runtime_us = microseconds_between(init_started_, now);
  cold_.pooled = pooled;
  publish_init_done(cold_.runtime_us);
  if (event_) {  // its own time ran during init
    phase_ = Phase::Busy;
    event_->cold = cold_;
    tell_extensions_of_event();
    hand_over();
    return;
  }
  init_us_ = microseconds_between(init_started_, now);
  phase_ = Phase::Idle;
  idle_since_ = now;
  services_.owner.sandbox_idle(*this);
}

void FunctionSandbox::init_fail(InitFailure failure) {
  if (phase_ != Phase::Init) return;
  if (output_) output_->drain_whole();
  auto now = std::chrono::steady_clock::now();
  uint64_t duration = microseconds_between(init_started_, now);
  std::string_view phase = event_ ? "invoke" : "init";
  std::string_view status = failure.timed_out ? "timeout" : "error";
  log_platform(init_report_line(function().logging.format, berth::now(), duration, phase, status,
                                failure.timed_out ? std::string_view() : std::string_view(failure.type)));
  if (event_) {  // the second attempt: its failure is the event's
    phase_ = Phase::Busy;
    if (!failure.payload.empty()) {
      event_status_ = ReportStatus::Error;
      event_error_type_ = failure.type;
      event_->outcome.payload = failure.payload;
      event_->outcome.function_error = "Unhandled";
      finish_event();
    } else {
      fail_event(failure.type, failure.text, ReportStatus::Failure);
    }
    end("failure");
    return;
  }
  services_.owner.sandbox_init_failed(*this, std::move(failure));
  end("failure");
}

void FunctionSandbox::begin_event(EventPtr event) {
  event_ = std::move(event);
  ++events_;
  event_->counting = true;
  event_->started = std::chrono::steady_clock::now();
  event_->started_at = berth::now();
  event_->deadline = event_->started + std::chrono::seconds(function().timeout_seconds);
  event_->cpu_before_us = container_ ? container_->cpu_microseconds() : 0;
  event_status_ = ReportStatus::Success;
  event_error_type_.clear();
  runtime_done_ = false;
  log_platform(start_line(function().logging.format, event_->started_at, event_->outcome.request_id,
                          function().version));
  if (telemetry_) {
    telemetry_->publish(TelemetryType::Platform, start_line(LogFormat::Json, event_->started_at,
                                                            event_->outcome.request_id, function().version));
  }
  set_deadline();
  if (event_->invocation.debug) watch_debugger();
}

void FunctionSandbox::set_deadline() {
  deadline_.set(services_.alarms, event_->deadline, [this] {
    if (phase_ == Phase::Init) phase_ = Phase::Busy;
    if (!event_) return;
    fail_event("Sandbox.Timedout", timeout_text(function().timeout_seconds), ReportStatus::Timeout);
    end("timeout");
  });
}

/// Looks now and then, which is what there is: nothing tells that a debugger comes or goes.
void FunctionSandbox::watch_debugger() {
  debug_alarm_.set(services_.alarms, std::chrono::steady_clock::now() + kDebugTick, [this] {
    if (!event_ || !event_->invocation.debug || !container_) return;
    const uint16_t own_ports[] = {kRuntimeApiPort, plan_.endpoint_port};
    std::vector<pid_t> processes = container_->processes();
    if (sys::is_debugged(processes, own_ports)) {
      event_->deadline += kDebugTick;
      set_deadline();
    }
    watch_debugger();
  });
}

void FunctionSandbox::refuse(EventPtr event, std::string type, std::string text) {
  phase_ = Phase::Busy;
  begin_event(std::move(event));
  fail_event(std::move(type), std::move(text), ReportStatus::Failure);
  phase_ = Phase::Ended;
}

void FunctionSandbox::give(EventPtr event) {
  freeze_alarm.cancel();
  idle_alarm.cancel();
  if (frozen_) {
    frozen_ = false;
    if (auto thawed = container_->thaw(); !thawed) log::warn("{}", thawed.error().message());
  }
  phase_ = Phase::Busy;
  event->init_us = std::exchange(init_us_, 0);
  if (event->init_us > 0) event->cold = cold_;
  begin_event(std::move(event));
  tell_extensions_of_event();
  hand_over();
}

void FunctionSandbox::runtime_wants_more() {
  switch (phase_) {
    case Phase::Init:
      check_init();
      return;
    case Phase::Busy:
      publish_runtime_done();
      if (!extensions_.any_working()) {
        become_idle();
        return;
      }
      // The caller has waited for the function alone; the event ends when the extensions are done with it.
      runtime_done_ = true;
      if (event_ && !event_->invocation.log_tail && !event_->over) {
        event_->outcome.record = make_record(*event_);
        event_->finish();
      }
      return;
    default:
      return;
  }
}

void FunctionSandbox::extension_done() {
  if (phase_ == Phase::Busy && runtime_done_ && !extensions_.any_working()) become_idle();
}

void FunctionSandbox::become_idle() {
  finish_event();
  if (phase_ != Phase::Busy) return;
  phase_ = Phase::Idle;
  idle_since_ = std::chrono::steady_clock::now();
  services_.owner.sandbox_idle(*this);
}

void FunctionSandbox::answer(std::string payload, std::string function_error, std::string error_type) {
  if (!event_) return;
  event_->outcome.payload = std::move(payload);
  event_->outcome.function_error = std::move(function_error);
  if (!event_->outcome.function_error.empty()) {
    event_status_ = ReportStatus::Error;
    event_error_type_ = std::move(error_type);
  }
  if (event_->invocation.log_tail) return;  // the tail ends with REPORT
  answer_alarm_.set(services_.alarms, std::chrono::steady_clock::now() + kAnswerGrace, [this] {
    if (event_ && !event_->over) {
      event_->outcome.record = make_record(*event_);
      event_->finish();
    }
  });
}

InvocationRecord FunctionSandbox::make_record(const EventRun& event) const {
  const FunctionVersion& version = function();
  InvocationRecord record;
  record.realm = version.realm;
  record.function = version.name;
  record.version = version.version;
  record.request_id = event.outcome.request_id;
  record.started = event.started_at;
  record.source = event.invocation.source;
  record.status = event_status_ == ReportStatus::Success   ? InvocationStatus::Success
                  : event_status_ == ReportStatus::Timeout ? InvocationStatus::Timeout
                  : event_error_type_ == "Runtime.ExitError" || event_error_type_ == "Runtime.OutOfMemory"
                      ? InvocationStatus::Crash
                      : InvocationStatus::Error;
  if (event.init_us > 0) {
    record.initialization =
        plan_.initialization == "on-demand" ? InitializationType::OnDemand : InitializationType::Provisioned;
  }
  record.duration_us = microseconds_between(event.started, std::chrono::steady_clock::now());
  if (event_status_ == ReportStatus::Timeout)
    record.duration_us = uint64_t{version.timeout_seconds} * 1'000'000;
  record.init_us = event.init_us;
  record.billed_ms = whole_milliseconds(record.duration_us) + whole_milliseconds(record.init_us);
  uint64_t cpu = container_ ? container_->cpu_microseconds() : 0;
  // The first event pays for the work of its init.
  uint64_t before = event.init_us > 0 ? 0 : event.cpu_before_us;
  record.cpu_us = cpu > before ? cpu - before : 0;
  record.memory_peak_bytes = container_ ? container_->memory_peak() : 0;
  // Beyond lies what is in /tmp, and a little air (memory.cc).
  record.memory_peak_bytes = std::min(record.memory_peak_bytes, uint64_t{version.memory_mebibytes} << 20);
  record.memory_mebibytes = version.memory_mebibytes;
  record.cold = event.cold;
  return record;
}

void FunctionSandbox::finish_event() {
  deadline_.cancel();
  debug_alarm_.cancel();
  answer_alarm_.cancel();
  if (!event_) return;
  EventPtr event = event_;
  if (output_) output_->drain_whole();
  InvocationRecord record = make_record(*event);
  EventReport report{.request_id = event->outcome.request_id,
                     .duration_us = record.duration_us,
                     .billed_ms = record.billed_ms,
                     .memory_mebibytes = record.memory_mebibytes,
                     .memory_peak_bytes = record.memory_peak_bytes,
                     .init_us = record.init_us,
                     .status = event_status_,
                     .error_type = event_error_type_};
  if (function().logging.format == LogFormat::Text) log_platform(end_line(event->outcome.request_id));
  if (telemetry_)
    telemetry_->publish(TelemetryType::Platform, report_line(LogFormat::Json, berth::now(), report));
  log_platform(report_line(function().logging.format, berth::now(), report));
  services_.log.flush();
  services_.metering.record(record);
  if (event->invocation.log_tail) {
    if (event->tail.size() > kTailBytes) event->tail.erase(0, event->tail.size() - kTailBytes);
    event->outcome.log_tail = std::move(event->tail);
  }
  event_.reset();
  if (event->over) return;
  event->outcome.record = std::move(record);
  event->finish();
}

void FunctionSandbox::fail_event(std::string type, std::string text, ReportStatus status) {
  if (!event_) return;
  if (output_) output_->drain_whole();
  const std::string& id = event_->outcome.request_id;
  if (status == ReportStatus::Timeout) {
    log_platform(fmt::format("{} {} {}\n\n", to_milliseconds(berth::now()), id, text));
  } else {
    log_platform(fmt::format("{}\n{}\n", with_request_id(id, text), type));
  }
  event_status_ = status;
  event_error_type_ = type;
  if (type == "Runtime.ExitError" && container_ && container_->oom_kills() > 0) {
    event_error_type_ = "Runtime.OutOfMemory";
  }
  // A response that was sent counts, whatever came after it.
  bool answered = runtime_ == RuntimeState::ResponseSent && status != ReportStatus::Timeout;
  if (!answered) {
    event_->outcome.payload = error_document(type, with_request_id(id, text));
    event_->outcome.function_error = "Unhandled";
  }
  finish_event();
}

}  // namespace berth::functions
