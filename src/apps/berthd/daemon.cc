// Start-up, serving, and a stop that lets containers go on.
#include "apps/berthd/daemon.h"

#include <unistd.h>

#include <functional>
#include <memory>
#include <optional>
#include <variant>

#include "api/docker/audit_log.h"
#include "api/docker/authorization.h"
#include "api/docker/docker_api.h"
#include "api/registry/registry_api.h"
#include "apps/berthd/build_services.h"
#include "apps/berthd/buildkit_bridge.h"
#include "apps/berthd/engine_settings.h"
#include "apps/berthd/function_part.h"
#include "apps/berthd/hooks_verb.h"
#include "apps/berthd/host_setup.h"
#include "apps/berthd/listen_address.h"
#include "apps/berthd/registry_options.h"
#include "apps/berthd/rootless/enter.h"
#include "apps/berthd/signals.h"
#include "apps/berthd/tls_files.h"
#include "base/format.h"
#include "base/log.h"
#include "build/builder.h"
#include "engine/engine.h"
#include "engine/rootless.h"
#include "io/event_loop.h"
#include "io/http_server.h"
#include "io/task_group.h"
#include "io/tls.h"
#include "sys/file.h"
#include "sys/ip_address.h"
#include "sys/user_directories.h"

namespace berth::berthd {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view default_group = "berth";
// docker's ports.
constexpr uint16_t plain_port = 2375;
constexpr uint16_t tls_port = 2376;
// Answers that are under way when the engine has closed are given this long.
constexpr auto drain_time = 250ms;

Result<std::optional<sys::IpPrefix>> prefix_option(const std::string& text, std::string_view flag) {
  if (text.empty()) return std::optional<sys::IpPrefix>();
  auto prefix = sys::IpPrefix::parse(text);
  if (!prefix) return std::move(prefix).error().in(flag);
  return std::optional<sys::IpPrefix>(*prefix);
}

Result<std::optional<sys::IpAddress>> address_option(const std::string& text, std::string_view flag) {
  if (text.empty()) return std::optional<sys::IpAddress>();
  auto address = sys::IpAddress::parse(text);
  if (!address) return std::move(address).error().in(flag);
  return std::optional<sys::IpAddress>(*address);
}

Result<network::NetworkOptions> network_options(const Options& options) {
  network::NetworkOptions result;
  TRY(result.bridge_subnet4, prefix_option(options.bip, "--bip"));
  TRY(result.bridge_subnet6, prefix_option(options.bip6, "--bip6"));
  TRY(result.bridge_range4, prefix_option(options.fixed_cidr, "--fixed-cidr"));
  TRY(result.bridge_range6, prefix_option(options.fixed_cidr6, "--fixed-cidr-v6"));
  CHECK(network::check_default_ranges(result));
  result.default_network = options.bridge != "none";
  if (result.default_network) result.bridge_name = options.bridge;
  bool has_addresses = !result.bridge_name.empty() && result.bridge_name != network::kDockerBridge;
  if (has_addresses && (result.bridge_subnet4 || result.bridge_subnet6)) {
    return Error(Kind::InvalidArgument,
                 "--bridge and --bip are mutually exclusive: the bridge has its addresses already");
  }
  result.direct_routing = options.direct_routing;
  result.firewall4 = options.iptables;
  result.firewall6 = options.ip6tables;
  result.forward = options.ip_forward;
  result.forward_drop = !options.ip_forward_no_drop;
  result.masquerade = options.ip_masquerade;
  TRY(result.default_gateway4, address_option(options.default_gateway, "--default-gateway"));
  TRY(result.default_gateway6, address_option(options.default_gateway6, "--default-gateway-v6"));
  for (const std::string& text : options.host_gateways) {
    auto address = sys::IpAddress::parse(text);
    if (!address) return std::move(address).error().in("--host-gateway-ip");
    result.host_gateways.push_back(*address);
  }
  for (const std::string& text : options.default_network_opts) {
    auto added = network::add_default_option(text, result.default_options);
    if (!added) return std::move(added).error().in("--default-network-opt");
  }
  result.enable_ipv6 = options.ipv6;
  result.inter_container = options.inter_container;
  result.mtu = options.mtu;
  for (const std::string& text : options.address_pools) {
    auto pool = network::parse_subnet_pool(text);
    if (!pool) return std::move(pool).error().in("--default-address-pool");
    result.address_pools.push_back(*pool);
  }
  if (options.default_address.empty()) return result;
  auto address = sys::IpAddress::parse(options.default_address);
  if (!address) return std::move(address).error().in("--ip");
  result.default_host_ip = *address;
  return result;
}

Result<engine::EngineOptions> engine_options(const Options& options) {
  engine::EngineOptions result;
  result.data_root = options.data_root;
  result.exec_root = options.exec_root;
  result.cgroup_parent = options.cgroup_parent;
  result.keeper_program = options.keeper;
  result.authorization_plugins = options.authorization_plugins;
  result.hook_runner = {"/proc/self/exe", kHooksVerb};
  TRY(result.settings, engine_settings(options));
  TRY(result.network, network_options(options));
  auto remap = engine::find_user_remap(options.userns_remap);
  if (!remap) return std::move(remap).error().in("--userns-remap");
  if (*remap && ::geteuid() != 0)
    return Error(Kind::Unsupported,
                 "--userns-remap: an ordinary user's containers are in a user namespace already");
  result.user_remap = std::move(*remap);
  return result;
}

FunctionOptions function_options(const Options& options) {
  return {
      .address = options.functions_address,
      .keys_file = options.functions_keys,
      .profile = options.functions_strict ? functions::LimitProfile::Strict : functions::LimitProfile::Open,
      .prepared = options.functions_prepared,
      .bases = {.first = options.functions_bases_pulled ? functions::BaseSource::First::Pulled
                                                        : functions::BaseSource::First::Made,
                .registry = options.functions_base_registry}};
}

/// The group that owns the sockets; none: root's. An ordinary user's engine is that user's alone.
Result<std::optional<gid_t>> socket_group(const Options& options, bool rootless) {
  if (rootless && options.group.empty()) return std::optional<gid_t>();
  if (!options.group.empty()) {
    TRY(gid_t group, find_group(options.group));
    return std::optional<gid_t>(group);
  }
  auto group = find_group(std::string(default_group));
  return group ? std::optional<gid_t>(*group) : std::nullopt;
}

std::vector<std::string> hosts_of(const Options& options) {
  if (!options.hosts.empty()) return options.hosts;
  return {"unix://" + options.exec_root + "/berth.sock"};
}

/// Opens the sockets of the -H flags.
class Listening {
 public:
  Listening(io::HttpServer& server, const Options& options, bool rootless)
      : server_(server), options_(options), rootless_(rootless) {}

  Result<void> open_all() {
    TRY(group_, socket_group(options_, rootless_));
    for (const std::string& host : hosts_of(options_)) {
      TRY(auto address, parse_listen_address(host));
      CHECK(std::visit([this](const auto& where) { return open(where); }, address));
      log::info("API listens on {}", host);
    }
    return {};
  }

 private:
  Result<void> open(const UnixAddress& address) {
    CHECK(make_directory(address.path.substr(0, std::max<size_t>(address.path.rfind('/'), 1)), 0755));
    return server_.listen_unix(address.path,
                               {.mode = rootless_ ? mode_t{0600} : mode_t{0660}, .group = group_});
  }
  Result<void> open(const TcpAddress& address) {
    if (options_.tls != Options::Tls::Off) return open_encrypted(address);
    uint16_t port = address.port == 0 ? plain_port : address.port;
    if (!address.loopback && !options_.open_tcp) {
      return failure(Kind::Forbidden,
                     "tcp://{}:{}: whoever reaches this port would be root on this machine: use --tlsverify, "
                     "127.0.0.1 or a unix socket, or say --tls=false if that is what you want",
                     address.ip, port);
    }
    log::warn("the API on tcp://{}:{} is open to everyone who reaches it, and gives root on this machine",
              address.ip, port);
    TRY([[maybe_unused]] auto bound, server_.listen_tcp(address.ip, port));
    return {};
  }
  Result<void> open_encrypted(const TcpAddress& address) {
    uint16_t port = address.port == 0 ? tls_port : address.port;
    TRY(io::TlsConfig config, read_tls_files(options_));
    if (config.client_ca.empty()) {
      log::warn(
          "the API on tcp://{}:{} asks no client for a certificate (--tlsverify): whoever reaches it is root "
          "on this machine",
          address.ip, port);
    }
    TRY([[maybe_unused]] auto bound, server_.listen_tls(address.ip, port, config));
    return {};
  }
  Result<void> open(const ActivatedSockets&) {
    auto sockets = take_activated_sockets();
    if (sockets.empty()) return Error(Kind::InvalidArgument, "fd://: no sockets were passed by systemd");
    for (auto& socket : sockets) CHECK(server_.adopt(std::move(socket)));
    return {};
  }

  io::HttpServer& server_;
  const Options& options_;
  bool rootless_;
  std::optional<gid_t> group_;
};

/// Reads the configuration again and takes over what can change while berthd runs (engine_settings.h), the
/// log level, and the audit log's file, which is opened anew.
Result<void> reload(std::span<const char* const> arguments, engine::Engine& engine, api::DockerApi& api) {
  TRY(Options options, load_options(arguments));
  TRY(auto settings, engine_settings(options));
  CHECK(engine.reload(std::move(settings)));
  log::set_level(options.log_level);
  if (api.audit_log() != nullptr) CHECK(api.audit_log()->reopen());
  log::info("Reloaded configuration: {}", settings_text(options));
  return {};
}

io::Task<void> wait_for_stop(io::EventLoop& loop, Signals& signals, std::function<Result<void>()> on_reload) {
  while (true) {
    auto signal = co_await signals.next(loop);
    if (!signal || *signal == Signal::Stop) co_return;
    if (auto reloaded = on_reload(); !reloaded)
      log::error("configuration not reloaded: {}", reloaded.error().message());
  }
}

/// A second signal while stopping: at once. Containers are safe, they do not depend on the daemon.
io::Task<void> leave_at_second_signal(io::EventLoop& loop, Signals& signals) {
  std::function<Result<void>()> nothing = [] { return Result<void>(); };
  co_await wait_for_stop(loop, signals, nothing);
  log::warn("second signal: leaving at once");
  std::_Exit(1);
}

io::Task<void> shut_down(io::HttpServer& server, api::RegistryApi& registries, FunctionPart& functions,
                         engine::Engine& engine) {
  server.close_listeners();
  co_await functions.close();
  co_await engine.close();
  co_await registries.drain(std::chrono::steady_clock::now() + drain_time);
  co_await server.drain(std::chrono::steady_clock::now() + drain_time);
}

Result<void> prepare_directories(const Options& options) {
  CHECK(make_directory(options.data_root, 0710));
  return make_directory(options.exec_root, 0711);
}

/// Roots that were not given: the system's, or the user's own.
Result<void> settle_roots(Options& options) {
  uid_t uid = ::geteuid();
  if (options.data_root.empty()) {
    options.data_root = "/var/lib/berth";
    if (uid != 0) {
      TRY(options.data_root, sys::user_data_directory(uid));
    }
  }
  if (options.exec_root.empty()) {
    options.exec_root = "/run/berth";
    if (uid != 0) {
      TRY(options.exec_root, sys::user_runtime_directory(uid));
    }
  }
  return {};
}

/// Serving, from an engine that is open to one that is closed.
void serve(io::EventLoop& loop, io::HttpServer& server, api::RegistryApi& registries, FunctionPart& functions,
           engine::Engine& engine, Signals& signals, std::function<Result<void>()> on_reload) {
  loop.run_until_complete(wait_for_stop(loop, signals, std::move(on_reload)));
  log::info("stopping; containers {}",
            engine.options().settings.live_restore ? "go on running" : "are stopped");
  announce_stopping();
  io::TaskGroup impatience;
  impatience.spawn(leave_at_second_signal(loop, signals));
  loop.run_until_complete(shut_down(server, registries, functions, engine));
}

/// What stands beside the API's routes: who did what, who may, and how much.
Result<void> set_up_api(const Options& options, io::EventLoop& loop, api::DockerApi& api) {
  if (!options.audit_log.empty()) {
    TRY(auto log, api::AuditLog::open(options.audit_log));
    api.set_audit_log(std::move(log));
  }
  if (!options.authorization_plugins.empty()) {
    api.set_authorizer(std::make_unique<api::Authorizer>(loop, options.authorization_plugins));
  }
  return {};
}

Result<void> listen_for_metrics(const Options& options, io::HttpServer& server) {
  if (options.metrics_address.empty()) return {};
  TRY(auto address, parse_listen_address("tcp://" + options.metrics_address));
  const auto& tcp = std::get<TcpAddress>(address);
  TRY([[maybe_unused]] auto port, server.listen_tcp(tcp.ip, tcp.port));
  log::info("metrics on http://{}/metrics", options.metrics_address);
  return {};
}

/// What is wrong with certificates is said before the engine touches anything.
Result<void> check_tls(const Options& options) {
  if (options.tls == Options::Tls::Off) return {};
  TRY(io::TlsConfig config, read_tls_files(options));
  CHECK(io::TlsContext::create(config));
  return {};
}

Result<void> run_in_place(const Options& options, std::span<const char* const> arguments,
                          rootless::Entered* rootless) {
  CHECK(check_tls(options));
  TRY(auto lock, lock_instance(options.exec_root));
  if (!options.pid_file.empty()) CHECK(write_pid_file(options.pid_file));
  for (const std::string& notice : options.notices) log::warn("{}", notice);
  TRY(auto settings, engine_options(options));
  if (settings.keeper_program.empty()) {
    TRY(settings.keeper_program, find_keeper());
  }
  if (rootless != nullptr) {
    network::set_port_binder(rootless->host.get());
    engine::set_rootless_facts({.rootless = true, .warnings = rootless->warnings});
  }
  for (const std::string& name : registry::overridden_proxy_variables(settings.settings.registry))
    log::info("overriding existing proxy variable with value from configuration: {}", name);
  TRY(auto signals, Signals::install());

  TRY(auto loop, io::EventLoop::create());
  TRY(auto engine, loop->run_until_complete(engine::Engine::open(*loop, std::move(settings))));
  TRY(auto building,
      loop->run_until_complete(BuildServices::open(*loop, *engine, options.build_cache_bytes)));
  api::DockerApi api(*loop, *engine, building->builder());
  api::RegistryApi registries(registry_services(*loop, *engine));
  auto opened = loop->run_until_complete(FunctionPart::open(*loop, *engine, function_options(options)));
  if (!opened) {
    // Networks have their bridges by now, and the firewall its rules: nothing of it stays.
    loop->run_until_complete(engine->close());
    return std::move(opened).error();
  }
  auto functions = std::move(*opened);
  api.set_neighbour({.serves =
                         [](const std::string& path) {
                           return api::RegistryApi::is_route(path) || api::LambdaApi::is_for_functions(path);
                         },
                     .handle =
                         [&registries, &functions](io::Exchange& exchange) {
                           return api::LambdaApi::is_for_functions(exchange.path())
                                      ? functions->api().handle(exchange)
                                      : registries.handle(exchange);
                         }});
  io::HttpServer server(*loop, [&api](io::Exchange& exchange) { return api.handle(exchange); });
  std::optional<BuildkitBridge> buildkit;
  if (auto program = find_helper("berth-buildkit"); program) {
    buildkit.emplace(*loop, server, std::move(*program), options.exec_root, options.data_root);
    api.set_buildkit(&*buildkit);
  }
  io::HttpServer metrics(*loop, [&api](io::Exchange& exchange) { return api.handle_metrics(exchange); });
  auto begin = [&]() -> Result<void> {
    CHECK(set_up_api(options, *loop, api));
    CHECK(listen_for_metrics(options, metrics));
    CHECK(Listening(server, options, rootless != nullptr).open_all());
    functions->listen();
    if (!options.registry) return {};
    TRY(auto registry, read_registry_files(*options.registry));
    return loop->run_until_complete(registries.serve(std::move(registry)));
  };
  if (auto begun = begin(); !begun) {
    loop->run_until_complete(shut_down(server, registries, *functions, *engine));
    return begun;
  }
  announce_ready();
  release_unused_memory();
  log::info("berthd {} serves, data root {}", BERTH_VERSION, options.data_root);
  std::function<Result<void>()> on_reload = [&] { return reload(arguments, *engine, api); };
  serve(*loop, server, registries, *functions, *engine, signals, std::move(on_reload));
  if (!options.pid_file.empty()) ::unlink(options.pid_file.c_str());
  auto running = engine->containers().list({});
  if (rootless != nullptr && running && running->empty()) rootless->host->end();
  return {};
}

}  // namespace

Result<void> check_options(const Options& options) {
  TRY([[maybe_unused]] auto settings, engine_options(options));
  if (options.metrics_address.empty()) return {};
  TRY([[maybe_unused]] auto address, parse_listen_address("tcp://" + options.metrics_address));
  return {};
}

Result<void> run_daemon(Options options, std::span<const char* const> arguments) {
  CHECK(settle_roots(options));
  bool rootless = ::geteuid() != 0;
  rootless::Entered entered;
  if (rootless) {
    TRY(entered, rootless::enter_namespaces(options.exec_root, options.rootless_network));
    for (const auto& warning : entered.warnings) log::warn("{}", warning);
  }
  tune_process();
  CHECK(prepare_directories(options));
  return run_in_place(options, arguments, rootless ? &entered : nullptr);
}

}  // namespace berth::berthd
