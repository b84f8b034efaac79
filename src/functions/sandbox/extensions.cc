// The Extensions API of one sandbox, and the external extensions' processes.
#include <dirent.h>
#include <fcntl.h>
#include <sys/socket.h>

#include <algorithm>
#include <csignal>
#include <set>

#include "base/format.h"
#include "base/id.h"
#include "base/json.h"
#include "base/log.h"
#include "functions/sandbox/function_sandbox.h"
#include "sys/file.h"
#include "sys/root_dir.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kJson = "application/json";
constexpr std::string_view kAccepted = "{\"status\":\"OK\"}\n";
constexpr size_t kMaxBody = 64u << 10;
constexpr auto kExternalShutdown = 2000ms;
constexpr auto kInternalShutdown = 500ms;
constexpr auto kRuntimeShare = 300ms;  // of the external ones' time

std::string make_identifier() {
  std::string hex = random_hex(16);
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

}  // namespace

/// Names in /opt/extensions, by looking into the layers from outside; what they are is decided by the kernel
/// when the container executes them.
std::vector<std::string> FunctionSandbox::external_extensions() const {
  std::set<std::string> names;
  std::vector<std::pair<std::string, std::string>> roots;  // a directory, and a path beneath it
  for (const LayerUse& layer : function().layers) roots.emplace_back(layer.directory, "extensions");
  if (function().package == PackageType::Image) {
    engine::Sandboxes sandboxes(services_.engine);
    auto directories = sandboxes.image_directories(function().image_id);
    if (directories) {
      for (const std::string& directory : *directories) roots.emplace_back(directory, "opt/extensions");
    }
  }
  for (const auto& [root, path] : roots) {
    // A link in an image must not lead to a folder of the host.
    auto directory = sys::RootDir::open(root, sys::Scope::Beneath);
    if (!directory) continue;
    auto fd = directory->open(path, O_RDONLY | O_DIRECTORY);
    if (!fd) continue;
    auto entries = sys::list_dir(fd->get());
    if (!entries) continue;
    for (const sys::DirEntry& entry : *entries) {
      if (entry.type == DT_REG && names.size() < kMaxExtensions) names.insert(entry.name);
    }
  }
  return {names.begin(), names.end()};
}

io::Task<void> FunctionSandbox::launch_extension(std::string name) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) co_return;
  sys::UniqueFd ours(pair[0]), theirs(pair[1]);
  ::fcntl(ours.get(), F_SETFL, O_NONBLOCK);
  auto output = std::make_unique<OutputReader>(
      services_.loop, std::move(ours),
      [this](std::string_view line) { log_line(line, LineSource::Extension); });
  OutputReader* reader = output.get();
  extension_outputs_.push_back(std::move(output));
  spec::ExecConfig config;
  config.cmd = {"/opt/extensions/" + name};
  config.attach_stdout = config.attach_stderr = true;
  config.env = {"_HANDLER", "_X_AMZN_TRACE_ID"};  // names alone: taken away
  config.working_dir = "/";
  engine::Containers& containers = services_.engine.containers();
  std::string container = container_->id();
  io::Task<Result<std::string>> create = containers.exec_create(container, std::move(config));
  auto id = co_await std::move(create);
  Result<void> started;
  if (id) {
    engine::Containers::ExecStart options;
    options.socket = std::move(theirs);
    io::Task<Result<void>> start = containers.exec_start(*id, std::move(options));
    started = co_await std::move(start);
  } else {
    started = std::move(id).error();
  }
  if (!started) {
    if (Extension* extension = extensions_.find_external(name)) extension->state = Extension::State::Ended;
    log_line(
        fmt::format(
            "EXTENSION\tName: {}\tState: LaunchError\tEvents: []\tError Type: Extension.LaunchError\n", name),
        LineSource::Platform);
    init_fail({.type = "Extension.LaunchError",
               .payload = {},
               .text = "fork/exec /opt/extensions/" + name + ": " + started.error().message()});
    co_return;
  }
  co_await reader->ended().wait();
  // Its streams are closed: it has ended.
  Extension* extension = extensions_.find_external(name);
  if (extension == nullptr || phase_ == Phase::Ending || phase_ == Phase::Ended) co_return;
  extension->state = Extension::State::Ended;
  if (stopping_) {
    if (!extensions_.any_external()) stop_runtime();
    co_return;
  }
  std::string text = fmt::format("extension {} exited unexpectedly", name);
  if (phase_ == Phase::Init) {
    init_fail({.type = "Extension.Crash", .payload = {}, .text = std::move(text)});
  } else if (phase_ == Phase::Busy) {
    fail_event("Extension.Crash", std::move(text), ReportStatus::Failure);
    end();
  } else {
    end();
  }
}

io::Task<void> FunctionSandbox::serve_extension(io::Exchange& exchange, std::string_view call) {
  std::string id(exchange.header("Lambda-Extension-Identifier").value_or(""));
  if (call == "register" && exchange.method() == "POST") {
    co_await serve_register(exchange);
    co_return;
  }
  Extension* extension = extensions_.find(id);
  if (extension == nullptr) {
    std::string_view type =
        id.empty() ? "Extension.MissingExtensionIdentifier" : "Extension.UnknownExtensionIdentifier";
    std::string body =
        api_error(type, id.empty() ? "Missing Lambda-Extension-Identifier header" : "Unknown extension");
    [[maybe_unused]] auto sent = co_await exchange.respond(403, kJson, body);
    co_return;
  }
  if (call == "event/next" && exchange.method() == "GET") {
    co_await serve_extension_next(exchange, extension->id);
    co_return;
  }
  bool init_error = call == "init/error", exit_error = call == "exit/error";
  if ((init_error || exit_error) && exchange.method() == "POST") {
    std::string type = sound_error_type(exchange.header("Lambda-Extension-Function-Error-Type").value_or(""));
    std::string name = extension->name;
    [[maybe_unused]] auto sent = co_await exchange.respond(202, kJson, kAccepted);
    log_line(fmt::format("EXTENSION\tName: {}\tState: {}\tEvents: []\tError Type: {}\n", name,
                         init_error ? "InitError" : "ExitError", type),
             LineSource::Platform);
    std::string_view error = init_error ? "Extension.InitError" : "Extension.ExitError";
    if (phase_ == Phase::Init) {
      init_fail(
          {.type = std::string(error), .payload = {}, .text = fmt::format("extension {}: {}", name, type)});
    } else if (phase_ == Phase::Busy) {
      fail_event(std::string(error), fmt::format("extension {}: {}", name, type), ReportStatus::Failure);
      end();
    }
    co_return;
  }
  [[maybe_unused]] auto sent = co_await exchange.respond(404, "text/plain", "404 page not found\n");
}

io::Task<void> FunctionSandbox::serve_register(io::Exchange& exchange) {
  io::Task<Result<std::string>> reading = exchange.read_body(kMaxBody);
  auto body = co_await std::move(reading);
  Json description = {{"functionName", function().name},
                      {"functionVersion", function().version},
                      {"handler", function().handler}};
  std::string features(exchange.header("Lambda-Extension-Accept-Feature").value_or(""));
  if (features.find("accountId") != features.npos) description["accountId"] = function().realm.account;
  std::string name(exchange.header("Lambda-Extension-Name").value_or(""));
  auto answer = extensions_.enroll(name, body ? std::string_view(*body) : std::string_view("["),
                                   to_json(description), make_identifier());
  if (!answer.id.empty()) exchange.set_header("Lambda-Extension-Identifier", answer.id);
  [[maybe_unused]] auto sent = co_await exchange.respond(answer.status, kJson, answer.body);
}

io::Task<void> FunctionSandbox::serve_extension_next(io::Exchange& exchange, std::string id) {
  Extension* extension = extensions_.find(id);
  if (extension->events.empty()) {
    bool was_working = extension->state == Extension::State::Working;
    extension->state = Extension::State::Ready;
    if (phase_ == Phase::Init) {
      check_init();
    } else if (was_working) {
      extension_done();
    }
  }
  while (true) {
    extension = extensions_.find(id);
    if (extension == nullptr) co_return;
    if (!extension->events.empty()) break;
    co_await extension_event_.wait();
  }
  std::string document = std::move(extension->events.front());
  extension->events.pop_front();
  exchange.set_header("Lambda-Extension-Event-Identifier", make_identifier());
  [[maybe_unused]] auto sent = co_await exchange.respond(200, kJson, document);
}

void FunctionSandbox::tell_extensions_of_event() {
  if (extensions_.empty()) return;
  auto time = std::chrono::duration_cast<std::chrono::nanoseconds>(event_->deadline - event_->started);
  Json document = {{"eventType", "INVOKE"},
                   {"deadlineMs", to_unix_nanoseconds(event_->started_at + time) / 1'000'000},
                   {"requestId", event_->outcome.request_id},
                   {"invokedFunctionArn", event_->invocation.invoked_arn},
                   {"tracing", {{"type", "X-Amzn-Trace-Id"}, {"value", event_->outcome.trace_header}}}};
  extensions_.post_invoke(to_json(document));
  extension_event_.notify_all();
}

/// Ends in AWS's order as far as one process namespace allows: extensions hear of it and have their time,
/// then the runtime gets SIGTERM, and whatever is left SIGKILL.
bool FunctionSandbox::begin_shutdown(std::string_view reason) {
  if (stopping_ || extensions_.empty() || !container_) return false;
  stopping_ = true;
  if (std::exchange(frozen_, false)) (void)container_->thaw();
  if (!extensions_.any_external()) {
    stop_runtime();
    return true;
  }
  auto deadline = berth::now() + kExternalShutdown;
  extensions_.post_shutdown(to_json(Json{{"eventType", "SHUTDOWN"},
                                         {"shutdownReason", reason},
                                         {"deadlineMs", to_unix_nanoseconds(deadline) / 1'000'000}}));
  extension_event_.notify_all();
  kill_alarm_.set(services_.alarms, std::chrono::steady_clock::now() + kExternalShutdown - kRuntimeShare,
                  [this] { stop_runtime(); });
  return true;
}

void FunctionSandbox::stop_runtime() {
  bool external = std::any_of(extensions_.all().begin(), extensions_.all().end(),
                              [](const Extension& each) { return each.external; });
  (void)container_->signal(SIGTERM);
  kill_alarm_.set(services_.alarms,
                  std::chrono::steady_clock::now() + (external ? kRuntimeShare : kInternalShutdown),
                  [this] { container_->kill(); });
}

}  // namespace berth::functions
