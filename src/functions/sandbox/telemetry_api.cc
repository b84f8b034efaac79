// The Telemetry and Logs APIs of one sandbox, and what it publishes.
#include <fcntl.h>
#include <sys/socket.h>

#include "base/format.h"
#include "base/json.h"
#include "functions/sandbox/function_sandbox.h"

namespace berth::functions {
namespace {

constexpr std::string_view kJson = "application/json";
constexpr size_t kMaxBody = 64u << 10;

}  // namespace

/// Subscribers listen on loopback inside; a socket keeps the namespace that it was made in.
Result<sys::UniqueFd> FunctionSandbox::socket_inside() const {
  TRY(auto netns, sys::NetworkNamespace::adopt(sys::UniqueFd(::fcntl(netns_.get(), F_DUPFD_CLOEXEC, 0))));
  sys::UniqueFd made;
  CHECK(netns.run_inside([&]() -> Result<void> {
    made = sys::UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!made) return Error::from_errno("socket", "telemetry", errno);
    return {};
  }));
  return made;
}

io::Task<void> FunctionSandbox::serve_telemetry(io::Exchange& exchange) {
  io::Task<Result<std::string>> reading = exchange.read_body(kMaxBody);
  auto body = co_await std::move(reading);
  // Looked up now: others may have registered meanwhile.
  Extension* extension = extensions_.find(exchange.header("Lambda-Extension-Identifier").value_or(""));
  int status = 200;
  std::string answer;
  if (exchange.method() != "PUT") {
    status = 405;
    answer = api_error("MethodNotAllowed", "Method not allowed");
  } else if (extension == nullptr) {
    status = 403;
    answer = api_error("Extension.UnknownExtensionIdentifier", "Unknown extension");
  } else if (phase_ != Phase::Init || telemetry_ == nullptr) {
    status = 403;
    answer = api_error("Telemetry.SubscriptionClosed", "Telemetry subscriptions are closed after init");
  } else {
    auto subscription = parse_telemetry_subscription(body ? std::string_view(*body) : std::string_view());
    if (!subscription) {
      status = 400;
      answer = api_error("ValidationError", subscription.error().message());
    } else {
      subscription->subscriber = extension->name;
      Json record = {{"name", extension->name},
                     {"state", "Subscribed"},
                     {"types", telemetry_type_names(subscription->types)}};
      telemetry_->subscribe(std::move(*subscription));
      publish_platform("platform.telemetrySubscription", to_json(record));
    }
  }
  if (status == 200) {
    [[maybe_unused]] auto sent = co_await exchange.respond(200, "text/plain", "OK");
  } else {
    [[maybe_unused]] auto sent = co_await exchange.respond(status, kJson, answer);
  }
}

void FunctionSandbox::publish_platform(std::string_view type, std::string record) {
  if (!telemetry_ || !telemetry_->wants(TelemetryType::Platform)) return;
  telemetry_->publish(TelemetryType::Platform, fmt::format(R"({{"time":"{}","type":"{}","record":{}}})",
                                                           to_milliseconds(berth::now()), type, record));
}

void FunctionSandbox::publish_init_done(uint64_t duration_us) {
  if (!telemetry_) return;
  Json done = {{"initializationType", plan_.initialization}, {"phase", "init"}, {"status", "success"}};
  publish_platform("platform.initRuntimeDone", to_json(done));
  Json report = {{"initializationType", plan_.initialization},
                 {"phase", "init"},
                 {"metrics", {{"durationMs", static_cast<double>(duration_us) / 1000}}}};
  publish_platform("platform.initReport", to_json(report));
  for (const Extension& extension : extensions_.all()) {
    std::vector<std::string> events;
    if (extension.wants_invoke) events.emplace_back("INVOKE");
    if (extension.wants_shutdown) events.emplace_back("SHUTDOWN");
    publish_platform("platform.extension",
                     to_json(Json{{"name", extension.name}, {"state", "Ready"}, {"events", events}}));
  }
  telemetry_->close_subscriptions();
}

void FunctionSandbox::publish_runtime_done() {
  if (!telemetry_ || !event_) return;
  auto passed = std::chrono::steady_clock::now() - event_->started;
  double milliseconds = std::chrono::duration<double, std::milli>(passed).count();
  Json record = {
      {"requestId", event_->outcome.request_id},
      {"status", to_string(event_status_)},
      {"metrics", {{"durationMs", milliseconds}, {"producedBytes", event_->outcome.payload.size()}}}};
  if (!event_error_type_.empty()) record["errorType"] = event_error_type_;
  publish_platform("platform.runtimeDone", to_json(record));
}

}  // namespace berth::functions
