// Events to sandboxes.
#include "functions/sandbox/function_pool.h"

#include <algorithm>

#include "base/format.h"
#include "base/id.h"
#include "base/log.h"
#include "functions/limits.h"
#include "functions/lineage.h"
#include "sys/cgroup.h"

namespace berth::functions {
namespace {

using namespace std::chrono_literals;

/// Containers that are made at the same time: more would only wait for each other.
constexpr size_t kStartsAtOnce = 8;
/// How long an event waits for a sandbox that has answered its last one.
constexpr auto kPatience = 10ms;
/// Objects of one revision that are known by address.
constexpr size_t kMaxEquals = 8;
/// What AWS's emulator allows beyond the limit.
constexpr size_t kResponseSlack = 100;

std::string make_request_id() {
  std::string hex = random_hex(16);
  hex[12] = '4';
  hex[16] = "89ab"[hex[16] & 3];
  return fmt::format("{}-{}-{}-{}-{}", hex.substr(0, 8), hex.substr(8, 4), hex.substr(12, 4),
                     hex.substr(16, 4), hex.substr(20));
}

/// Active tracing samples what nobody has decided about before.
std::string make_trace_header(TracingMode mode) {
  auto seconds = to_unix_nanoseconds(berth::now()) / 1'000'000'000;
  std::string hex = random_hex(20);
  return fmt::format("Root=1-{:08x}-{};Parent={};Sampled={}", seconds, hex.substr(0, 24), hex.substr(24),
                     mode == TracingMode::Active ? 1 : 0);
}

bool is_same_revision(const FunctionVersion& a, const FunctionVersion& b) {
  return a.version == b.version && a.revision_id == b.revision_id && a.code_sha256 == b.code_sha256 &&
         a.code_directory == b.code_directory && a.image_id == b.image_id;
}

std::string_view state_name(const FunctionSandbox& sandbox) {
  using Phase = FunctionSandbox::Phase;
  switch (sandbox.phase()) {
    case Phase::Starting:
    case Phase::Init:
      return "init";
    case Phase::Prepared:
      return "prepared";
    case Phase::Idle:
      return sandbox.frozen() ? "frozen" : "idle";
    case Phase::Busy:
      return "busy";
    case Phase::Ending:
    case Phase::Ended:
      return "ending";
  }
  return "";
}

}  // namespace

FunctionPool::FunctionPool(io::EventLoop& loop, engine::Engine& engine, RuntimeBases& bases, FunctionLog& log,
                           MeteringSink& metering, Alarms& alarms, const SandboxSettings& settings)
    : loop_(loop),
      bases_(bases),
      settings_(settings),
      services_{.loop = loop,
                .engine = engine,
                .log = log,
                .metering = metering,
                .alarms = alarms,
                .owner = *this,
                .endpoint = {},
                .init_timeout = settings.init_timeout,
                .max_response_bytes = limits_of(settings.limits).sync_payload_bytes + kResponseSlack},
      starts_(kStartsAtOnce) {}

FunctionPool::~FunctionPool() {
  tasks_.destroy_all();
}

void FunctionPool::serve_endpoint(uint16_t port, std::function<io::Task<void>(io::Exchange&)> handler) {
  endpoint_port_ = port;
  services_.endpoint = std::move(handler);
}

FunctionPool::Function& FunctionPool::function_of(const Realm& realm, const std::string& name) {
  return functions_[Key(realm, name)];
}

FunctionPool::Version& FunctionPool::version_of(const FunctionVersionPtr& function,
                                                const std::string& tenant) {
  auto known = tenant.empty() ? by_pointer_.find(function.get()) : by_pointer_.end();
  if (known != by_pointer_.end()) return *known->second;
  Function& entry = function_of(function->realm, function->name);
  auto same = [&](const Version& version) {
    return !version.outdated && version.tenant == tenant && is_same_revision(*version.function, *function);
  };
  auto found = std::find_if(entry.versions.begin(), entry.versions.end(), same);
  if (found == entry.versions.end()) {
    found = entry.versions.emplace(entry.versions.end());
    found->function = function;
    found->tenant = tenant;
    if (!tenant.empty()) return *found;
    auto wanted = entry.concurrency.provisioned.find(function->version);
    if (wanted != entry.concurrency.provisioned.end()) found->provisioned = wanted->second;
  } else if (!tenant.empty()) {
    return *found;
  } else {
    if (found->equals.size() >= kMaxEquals) {
      by_pointer_.erase(found->equals.front().get());
      found->equals.erase(found->equals.begin());
    }
    found->equals.push_back(function);
  }
  by_pointer_[function.get()] = &*found;
  return *found;
}

FunctionPool::Version& FunctionPool::version_of(const FunctionSandbox& sandbox) {
  return *by_sandbox_.at(&sandbox);
}

Result<EventPtr> FunctionPool::admit(Invocation invocation) {
  if (closing_) return Error(Kind::Unavailable, "the service is shutting down");
  if (!invocation.function) return Error(Kind::InvalidArgument, "no function was given");
  last_throttle_ = Throttle::None;
  const FunctionVersion& function = *invocation.function;
  CHECK(check_tenant(function, invocation.tenant));
  TRY(auto place, take_place(function_of(function.realm, function.name), function.version));
  auto event = std::make_shared<EventRun>();
  event->admission = std::move(place);
  event->asked = std::chrono::steady_clock::now();
  event->outcome.request_id =
      invocation.request_id.empty() ? make_request_id() : std::move(invocation.request_id);
  event->outcome.executed_version = function.version;
  std::string arn = function_arn(function.realm, function.name);
  if (invocation.trace_header.empty()) invocation.trace_header = make_trace_header(function.tracing);
  event->outcome.trace_header = with_run_of(invocation.trace_header, arn);
  if (invocation.invoked_arn.empty()) invocation.invoked_arn = std::move(arn);
  event->invocation = std::move(invocation);
  dispatch(version_of(event->invocation.function, event->invocation.tenant), event);
  return event;
}

void FunctionPool::dispatch(Version& version, EventPtr event) {
  if (!version.idle.empty()) {
    FunctionSandbox* sandbox = version.idle.back();
    version.idle.pop_back();
    --idle_count_;
    bool stocked = sandbox == version.prepared;
    if (stocked) unstock(version);
    sandbox->give(std::move(event));
    if (stocked) prepare_ahead(version);
    return;
  }
  if (event->invocation.debug) {  // whoever debugs stops the clock of init as well
    start(version, std::move(event), "on-demand");
    return;
  }
  version.waiting.push_back(std::move(event));
  // A sandbox that has just answered asks for more in a moment: worth waiting for, before a new one is made.
  auto finishing = std::count_if(version.sandboxes.begin(), version.sandboxes.end(),
                                 [](const auto& sandbox) { return sandbox->finishing(); });
  if (version.waiting.size() > static_cast<size_t>(finishing) + version.starting) {
    start_more(version);
    return;
  }
  if (version.patience.is_set()) return;
  Version* own = &version;
  version.patience.set(services_.alarms, std::chrono::steady_clock::now() + kPatience,
                       [this, own] { start_more(*own); });
}

void FunctionPool::start_more(Version& version) {
  while (version.starting < version.waiting.size()) {
    ++version.starting;
    if (FunctionSandbox* sandbox = unstock(version)) {
      sandbox->starting = true;
      sandbox->idle_alarm.cancel();
      if (sandbox->phase() == FunctionSandbox::Phase::Prepared) sandbox->run();
      prepare_ahead(version);
      continue;
    }
    start(version, nullptr, "on-demand");
  }
}

void FunctionPool::start(Version& version, EventPtr within, std::string initialization) {
  ++version.bringing;
  tasks_.spawn(bring_up(version, std::move(within), std::move(initialization)));
}

FunctionSandbox& FunctionPool::new_sandbox(Version& version, const RuntimeBase& base,
                                           std::string initialization) {
  const FunctionVersion& function = *version.function;
  SandboxPlan plan{.function = version.function,
                   .base = base,
                   .log_group = log_group_of(function),
                   .log_stream = make_log_stream(berth::now(), function.version, random_hex(16)),
                   .initialization = std::move(initialization),
                   .endpoint_port = services_.endpoint ? endpoint_port_ : uint16_t{0},
                   .network = settings_.network,
                   .limits = settings_.limits,
                   .container_name = fmt::format("lambda-{}-{}", function.name, random_hex(6)),
                   .memory_follows_tmp = services_.engine.cgroups().version() == sys::CgroupVersion::V1 ||
                                         services_.engine.cgroups().version() == sys::CgroupVersion::Hybrid};
  auto web = web_server(function);
  if (web)
    plan.web = std::move(*web);
  else
    plan.web_fault = web.error().message();
  version.sandboxes.push_back(std::make_unique<FunctionSandbox>(services_, std::move(plan)));
  FunctionSandbox& sandbox = *version.sandboxes.back();
  by_sandbox_[&sandbox] = &version;
  return sandbox;
}

Result<WebServer> FunctionPool::web_server(const FunctionVersion& function) const {
  if (function.package != PackageType::Image) return WebServer();
  auto image = services_.engine.images().find(function.image_id);
  if (!image || !image->config) return WebServer();  // the start will say why
  const auto& config = image->config->config;
  return web_server_of(function.environment, config.env, config.labels);
}

io::Task<Result<RuntimeBase>> FunctionPool::base_of(FunctionVersionPtr function) {
  if (function->package == PackageType::Image) co_return RuntimeBase{.image = function->image};
  auto base = bases_.find(function->runtime);
  if (base) co_return base;
  io::Task<Result<RuntimeBase>> ensure = bases_.ensure(function->runtime);
  co_return co_await std::move(ensure);
}

io::Task<void> FunctionPool::bring_up(Version& version, EventPtr within, std::string initialization) {
  io::Semaphore::Permit permit = co_await starts_.acquire();
  bool on_demand = initialization == "on-demand";
  bool absorbed = !within && on_demand && version.waiting.empty();
  if (absorbed) {
    --version.starting;
    --version.bringing;
    forget_if_empty(version);
    co_return;
  }
  io::Task<Result<RuntimeBase>> find_base = base_of(version.function);
  auto base = co_await std::move(find_base);
  FunctionSandbox& sandbox = new_sandbox(version, base ? *base : RuntimeBase{}, std::move(initialization));
  sandbox.starting = !within;
  Result<void> prepared;
  if (base) {
    io::Task<Result<void>> prepare = sandbox.prepare();
    prepared = co_await std::move(prepare);
  } else {
    prepared = std::move(base).error();
  }
  permit.release();
  if (!prepared) {
    could_not_start(sandbox, std::move(prepared).error(), std::move(within));
  } else if (sandbox.phase() == FunctionSandbox::Phase::Prepared) {
    sandbox.run(std::move(within));
    prepare_ahead(version);
  } else if (within) {
    within->fail(Error(Kind::Unavailable, "the service is shutting down"));
  }
  --version.bringing;
  forget_if_empty(version);
}

/// Whoever waits first is told; what the function is to blame for is an outcome.
void FunctionPool::could_not_start(FunctionSandbox& sandbox, Error error, EventPtr event) {
  Version& version = version_of(sandbox);
  if (sandbox.starting) {
    --version.starting;
    sandbox.starting = false;
  }
  bool provision = sandbox.plan().initialization != "on-demand";
  if (provision) {
    version.provision_failure = error.message();
    version.provisioned = 0;
  } else if (!event && !version.waiting.empty()) {
    event = std::move(version.waiting.front());
    version.waiting.pop_front();
  }
  // What plan_sandbox() and the start refuse is the function's program; everything else is ours.
  bool program_at_fault = error.kind() == Kind::InvalidArgument;
  if (event && program_at_fault) {
    sandbox.refuse(event, "Runtime.InvalidEntrypoint", error.message());
  } else if (event) {
    log::error("function {}: {}", sandbox.function().name, error.message());
    event->fail(std::move(error));
  }
  sandbox_ended(sandbox);
}

void FunctionPool::sandbox_idle(FunctionSandbox& sandbox) {
  Version& version = version_of(sandbox);
  if (std::exchange(sandbox.starting, false)) --version.starting;
  function_of(version.function->realm, version.function->name).initializes = true;
  if (!version.waiting.empty()) {
    if (version.prepared == &sandbox) unstock(version);
    EventPtr event = std::move(version.waiting.front());
    version.waiting.pop_front();
    sandbox.give(std::move(event));
    return;
  }
  if (version.outdated || closing_) {
    sandbox.end();
    return;
  }
  // One that was made ahead comes last: what has served an event is warmer.
  bool stocked = version.prepared == &sandbox;
  version.idle.insert(stocked ? version.idle.begin() : version.idle.end(), &sandbox);
  ++idle_count_;
  auto now = std::chrono::steady_clock::now();
  FunctionSandbox* it = &sandbox;
  sandbox.freeze_alarm.set(services_.alarms, now + settings_.freeze_after, [it] { it->freeze(); });
  if (sandbox.plan().initialization != "on-demand" || stocked) return;
  sandbox.idle_alarm.set(services_.alarms, now + settings_.idle_time, [this, it] {
    Version& own = version_of(*it);
    std::erase(own.idle, it);
    --idle_count_;
    it->end();
  });
  if (idle_count_ > settings_.max_warm) drop_excess_warm();
}

void FunctionPool::drop_excess_warm() {
  FunctionSandbox* oldest = nullptr;
  for (auto& [key, function] : functions_) {
    for (Version& version : function.versions) {
      for (FunctionSandbox* sandbox : version.idle) {
        if (oldest == nullptr || sandbox->idle_since() < oldest->idle_since()) oldest = sandbox;
      }
    }
  }
  if (oldest == nullptr) return;
  if (Version& version = version_of(*oldest); version.prepared == oldest) unstock(version);
  std::erase(version_of(*oldest).idle, oldest);
  --idle_count_;
  oldest->end();
}

void FunctionPool::sandbox_init_failed(FunctionSandbox& sandbox, InitFailure) {
  Version& version = version_of(sandbox);
  bool awaited = std::exchange(sandbox.starting, false);
  if (awaited) --version.starting;
  function_of(version.function->realm, version.function->name).initializes = false;
  if (version.prepared == &sandbox) unstock(version);
  if (sandbox.plan().initialization != "on-demand") {
    version.provision_failure = "FUNCTION_ERROR_INIT_FAILURE";
    version.provisioned = 0;
    return;
  }
  if (!awaited || version.waiting.empty()) return;
  // AWS runs a failed init again, on the time of the event that waits for it.
  EventPtr event = std::move(version.waiting.front());
  version.waiting.pop_front();
  event->init_within = true;
  start(version, std::move(event), "on-demand");
}

void FunctionPool::sandbox_ended(FunctionSandbox& sandbox) {
  Version& version = version_of(sandbox);
  if (std::exchange(sandbox.starting, false)) --version.starting;
  if (std::erase(version.idle, &sandbox) > 0) --idle_count_;
  if (version.prepared == &sandbox) unstock(version);
  by_sandbox_.erase(&sandbox);
  auto place = std::find_if(version.sandboxes.begin(), version.sandboxes.end(),
                            [&](const auto& each) { return each.get() == &sandbox; });
  // We are called from within it.
  dead_.push_back(std::move(*place));
  version.sandboxes.erase(place);
  if (dead_.size() == 1) tasks_.spawn(bury());
  sandbox_gone_.notify_all();
  if (!closing_) {
    start_more(version);
    provide(version);
  }
  forget_if_empty(version);
}

io::Task<void> FunctionPool::bury() {
  co_await loop_.yield();
  std::vector<std::unique_ptr<FunctionSandbox>> dead = std::move(dead_);
  dead_.clear();
}

void FunctionPool::retire(Version& version) {
  version.outdated = true;
  version.provisioned = 0;
  drop_stock(version);
  std::vector<FunctionSandbox*> idle = std::exchange(version.idle, {});
  idle_count_ -= idle.size();
  for (FunctionSandbox* sandbox : idle) sandbox->end();
  by_pointer_.erase(version.function.get());
  for (const auto& equal : version.equals) by_pointer_.erase(equal.get());
}

void FunctionPool::forget_if_empty(Version& version) {
  // Tenants come and go.
  bool over = version.outdated || !version.tenant.empty();
  bool empty = over && version.sandboxes.empty() && version.waiting.empty() && version.starting == 0 &&
               version.bringing == 0 && !version.preparing;
  if (!empty) return;
  Function& function = function_of(version.function->realm, version.function->name);
  function.versions.remove_if([&](const Version& each) { return &each == &version; });
}

void FunctionPool::function_changed(const Realm& realm, const std::string& name, FunctionVersionPtr current) {
  auto found = functions_.find(Key(realm, name));
  if (found != functions_.end()) {
    std::vector<Version*> stale;
    for (Version& version : found->second.versions) {
      if (version.outdated) continue;
      // Published versions do not change: a new $LATEST leaves theirs warm.
      bool ends = !current || (version.function->version == current->version &&
                               !is_same_revision(*version.function, *current));
      if (ends) stale.push_back(&version);
    }
    for (Version* version : stale) {
      retire(*version);
      forget_if_empty(*version);
    }
    bool gone = !current && found->second.versions.empty() && found->second.counts->in_flight == 0;
    if (gone) functions_.erase(found);
  }
  if (!current || is_per_tenant(*current)) return;
  found = functions_.find(Key(realm, name));
  static const Function never_called;
  if (may_prepare(found == functions_.end() ? never_called : found->second))
    prepare_ahead(version_of(current));
}

std::vector<SandboxInvoker::SandboxInfo> FunctionPool::sandboxes() const {
  std::vector<SandboxInvoker::SandboxInfo> list;
  for (const auto& [key, function] : functions_) {
    for (const Version& version : function.versions) {
      for (const auto& sandbox : version.sandboxes) {
        list.push_back({.container_id = std::string(sandbox->container_id()),
                        .realm = key.first,
                        .function = key.second,
                        .version = version.function->version,
                        .state = std::string(state_name(*sandbox)),
                        .initialized = sandbox->phase() == FunctionSandbox::Phase::Idle ||
                                       sandbox->phase() == FunctionSandbox::Phase::Busy,
                        .events = sandbox->events()});
      }
    }
  }
  return list;
}

io::Task<void> FunctionPool::close() {
  closing_ = true;
  for (auto& [key, function] : functions_) {
    for (Version& version : function.versions) {
      for (EventPtr& event : version.waiting) {
        event->fail(Error(Kind::Unavailable, "the service is shutting down"));
      }
      version.waiting.clear();
      for (const auto& sandbox : version.sandboxes) {
        if (sandbox->event())
          sandbox->event()->fail(Error(Kind::Unavailable, "the service is shutting down"));
        sandbox->end();
      }
    }
  }
  while (!by_sandbox_.empty()) co_await sandbox_gone_.wait();
}

}  // namespace berth::functions
