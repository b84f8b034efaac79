#include "apps/berthd/function_part.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "api/events/further_services.h"
#include "api/lambda/sandboxes_api.h"
#include "base/format.h"
#include "base/log.h"
#include "engine/run_usage.h"
#include "functions/events/event_services.h"
#include "functions/log/file_log.h"
#include "functions/metering/budgets.h"
#include "functions/metering/metering_store.h"
#include "functions/runtimes/runtime_bases.h"
#include "functions/sandbox/sandbox_invoker.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

using namespace std::chrono_literals;

constexpr size_t longest_keys_file = 1 << 20;
constexpr auto drain_time = 250ms;
/// Where functions find the API inside their sandboxes.
constexpr uint16_t endpoint_port = 4566;

struct Address {
  std::string host;
  uint16_t port = 0;
};
Result<Address> parse_address(std::string_view text) {
  size_t colon = text.rfind(':');
  Address address;
  auto refused = [&] {
    return failure(Kind::InvalidArgument, "--functions-addr: \"{}\" is not IP:PORT or \"none\"", text);
  };
  if (colon == std::string_view::npos) return refused();
  address.host = text.substr(0, colon);
  if (address.host.starts_with('[') && address.host.ends_with(']')) {
    address.host = address.host.substr(1, address.host.size() - 2);
  }
  std::string_view port = text.substr(colon + 1);
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (address.host.empty() || error != std::errc{} || end != port.data() + port.size()) return refused();
  return address;
}

/// Alias or version to version, so that the invoker need not know aliases.
functions::ConcurrencySettings concurrency_of(const functions::Catalog& catalog,
                                              const functions::FunctionEntry& entry) {
  functions::ConcurrencySettings settings;
  settings.reserved = entry.settings().reserved_concurrency;
  for (const auto& [qualifier, config] : entry.settings().provisioned) {
    auto version = catalog.main_version(entry, qualifier);
    if (version) settings.provisioned[(*version)->version] += config.requested;
  }
  for (const auto& [version, config] : entry.settings().scaling) {
    if (!entry.version(version)) continue;
    if (config.least) settings.provisioned[version] = std::max(settings.provisioned[version], *config.least);
    if (config.most) settings.most[version] = *config.most;
  }
  return settings;
}

}  // namespace

FunctionPart::FunctionPart(io::EventLoop& loop, engine::Engine& engine, FunctionOptions options)
    : loop_(loop), engine_(engine), options_(std::move(options)) {}

FunctionPart::~FunctionPart() {
  engine::set_run_observer({});
}

io::Task<Result<std::unique_ptr<FunctionPart>>> FunctionPart::open(io::EventLoop& loop,
                                                                   engine::Engine& engine,
                                                                   FunctionOptions options) {
  if (options.address != "none") CO_CHECK(parse_address(options.address));
  api::aws::SigningKeys keys;
  if (!options.keys_file.empty()) {
    CO_TRY(auto text, sys::read_file(options.keys_file, longest_keys_file));
    auto parsed = api::aws::parse_signing_keys(text);
    if (!parsed) co_return std::move(parsed).error().in("--functions-keys", options.keys_file);
    keys = std::move(*parsed);
  }
  std::unique_ptr<FunctionPart> part(new FunctionPart(loop, engine, std::move(options)));
  std::string root = engine.options().data_root + "/functions";
  CO_TRY(part->packages_, functions::PackageStore::open(root, part->options_.profile));
  CO_TRY(part->catalog_, functions::Catalog::open(engine.database()));
  CO_TRY(part->buckets_, functions::BucketStore::open(engine.database(), root + "/buckets"));
  functions::FileFunctionLog::Options log_options{.directory = root + "/logs"};
  CO_TRY(part->log_, functions::FileFunctionLog::open(loop, std::move(log_options)));
  part->bases_ = std::make_unique<functions::RuntimeBases>(loop, engine, part->options_.bases);
  CO_TRY(part->metering_, functions::MeteringStore::open(loop, root + "/metering.db", {}));
  engine::set_run_observer([store = part->metering_.get()](const engine::RunUsage& run) {
    functions::ContainerRunRecord record{.id = run.id,
                                         .name = run.name,
                                         .image = run.image,
                                         .started = run.started,
                                         .finished = run.finished,
                                         .cpu_us = run.cpu_us,
                                         .memory_peak_bytes = run.memory_peak_bytes,
                                         .memory_limit_bytes = run.memory_limit_bytes,
                                         .exit_code = run.exit_code};
    store->record(record);
  });
  auto budget = [catalog = part->catalog_.get()](const functions::Realm& realm, const std::string& name) {
    const auto* entry = catalog->find(realm, name);
    return entry == nullptr ? std::nullopt : functions::budget_of(entry->settings().tags);
  };
  auto changed = [owner = part.get()](const functions::Realm& realm, const std::string& name) {
    if (const auto* entry = owner->catalog_->find(realm, name)) owner->settings_changed(*entry);
  };
  part->budgets_ = std::make_unique<functions::Budgets>(loop, *part->metering_, budget, changed);
  functions::SandboxSettings settings{.limits = part->options_.profile, .prepared = part->options_.prepared};
  CO_TRY(part->invoker_, co_await functions::SandboxInvoker::open(loop, engine, *part->bases_, *part->log_,
                                                                  *part->budgets_, std::move(settings)));
  CO_TRY(part->events_, functions::events::EventServices::open(loop, root, *part->catalog_, *part->invoker_,
                                                               part->options_.profile));
  if (auto unused = part->packages_->set_aside(part->catalog_->code_directories()); unused) {
    auto remove = [&] { return functions::PackageStore::remove(*unused); };
    [[maybe_unused]] auto removed = co_await loop.on_worker(remove);
  }
  part->catalog_->add_listener(*part);
  for (const auto* entry : part->catalog_->list_all()) part->settings_changed(*entry);
  FunctionPart* self = part.get();
  part->services_ = std::unique_ptr<api::FunctionServices>(new api::FunctionServices{
      .loop = loop,
      .catalog = *part->catalog_,
      .packages = *part->packages_,
      .buckets = *part->buckets_,
      .invoker = part->events_->invoker(),
      .executions = part->events_->executions(),
      .queue = part->events_->events(),
      .log = *part->log_,
      .find_image = [self](std::string_view reference) { return self->find_image(reference); },
      .pull_image = [self](std::string reference) { return self->pull_image(std::move(reference)); },
      .bases = part->bases_.get(),
      .profile = part->options_.profile,
      .keys = std::move(keys)});
  api::add_further_services(*part->services_, *part->events_, *part->metering_);
  part->api_ = std::make_unique<api::LambdaApi>(*part->services_);
  part->invoker_->serve_endpoint(endpoint_port,
                                 [self](io::Exchange& exchange) { return self->api_->handle(exchange); });
  part->package_api_ =
      std::make_unique<api::PackageApi>(loop, *part->catalog_, *part->bases_, engine.image_store());
  part->services_->further["package"] = [self](io::Exchange& exchange, api::AwsCaller caller) {
    return self->package_api_->handle(exchange, std::move(caller));
  };
  part->services_->further["sandboxes"] = [self](io::Exchange& exchange, api::AwsCaller) {
    return api::serve_sandboxes(*self->services_, *self->invoker_, exchange);
  };
  co_return part;
}

void FunctionPart::listen() {
  events_->start();
  if (options_.address == "none") return;
  auto address = parse_address(options_.address);
  if (!address) {
    log::error("{}", address.error().message());
    return;
  }
  server_ = std::make_unique<io::HttpServer>(
      loop_, [this](io::Exchange& exchange) { return api_->handle(exchange); });
  auto port = server_->listen_tcp(address->host, address->port);
  if (!port) {
    log::warn(
        "functions: {}: their API is served on the engine's socket alone; choose another address with "
        "--functions-addr IP:PORT",
        port.error().message());
    server_.reset();
    return;
  }
  services_->port = *port;
  std::string shown = fmt::format("{}:{}", address->host, *port);
  address_file_ = engine_.options().exec_root + "/functions.addr";
  if (auto written = sys::write_file_atomic(address_file_, shown + "\n"); !written) {
    log::warn("functions: {}", written.error().message());
  }
  bool local = address->host.starts_with("127.") || address->host == "::1";
  if (!local && services_->keys.empty()) {
    log::warn("functions: whoever reaches {} may run code here: configure --functions-keys", shown);
  }
  log::info("functions API listens on http://{}", shown);
}

io::Task<void> FunctionPart::close() {
  if (!address_file_.empty()) ::unlink(address_file_.c_str());
  if (server_ != nullptr) server_->close_listeners();
  events_->stop();  // before the sandboxes end, so that their end does not count as the functions' failure
  co_await invoker_->close();
  if (server_ != nullptr) co_await server_->drain(std::chrono::steady_clock::now() + drain_time);
  log_->flush();
}

void FunctionPart::function_changed(const functions::Realm& realm, const std::string& name,
                                    functions::FunctionVersionPtr latest) {
  if (latest == nullptr) events_->function_removed(realm, name);
  invoker_->function_changed(realm, name, std::move(latest));
}

void FunctionPart::version_removed(functions::FunctionVersionPtr version) {
  const auto* entry = catalog_->find(version->realm, version->name);
  invoker_->function_changed(version->realm, version->name, entry == nullptr ? nullptr : entry->latest());
}

void FunctionPart::settings_changed(const functions::FunctionEntry& entry) {
  functions::ConcurrencySettings settings = concurrency_of(*catalog_, entry);
  if (budgets_->stopped(entry.realm(), entry.name())) settings.reserved = 0;
  invoker_->set_concurrency(entry.realm(), entry.name(), settings);
  for (const auto& [qualifier, config] : entry.settings().provisioned) {
    auto version = catalog_->main_version(entry, qualifier);
    if (version) invoker_->set_provisioned(*version, settings.provisioned[(*version)->version]);
  }
  for (const auto& [version, config] : entry.settings().scaling) {
    if (auto scaled = entry.version(version))
      invoker_->set_provisioned(scaled, settings.provisioned[version]);
  }
}

Result<api::FunctionImage> FunctionPart::find_image(std::string_view reference) const {
  TRY(auto image, engine_.images().find(reference));
  return api::FunctionImage{
      .id = image.id.str(),
      .reference = image.repo_digests.empty() ? std::string(reference) : image.repo_digests.front(),
      .size = image.size};
}

/// As `berth run` pulls what is missing.
io::Task<Result<api::FunctionImage>> FunctionPart::pull_image(std::string reference) {
  CO_TRY(auto parsed, spec::Reference::parse(reference));
  log::info("functions: pulling {}", reference);
  registry::PullRequest request{.reference = parsed.with_default_tag()};
  registry::MessageCallback ignore = [](const registry::Message&) {};
  auto pulling = engine_.registries().pull(std::move(request), std::move(ignore));
  CO_CHECK(co_await std::move(pulling));
  co_return find_image(reference);
}

}  // namespace berth::berthd
