// The command line's table of flags.
#include "apps/berthd/options.h"

#include <algorithm>
#include <functional>

#include "apps/berthd/config_file.h"
#include "apps/berthd/flag.h"
#include "apps/berthd/listen_address.h"
#include "apps/berthd/rootless/uplink.h"
#include "base/format.h"
#include "spec/reference.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

Result<log::Level> level(std::string_view text) {
  if (text == "debug" || text == "trace") return log::Level::Debug;
  if (text == "info") return log::Level::Info;
  if (text == "warn") return log::Level::Warn;
  if (text == "error" || text == "fatal") return log::Level::Error;
  return failure(Kind::InvalidArgument,
                 "invalid logging level \"{}\": expected debug, info, warn, error or fatal", text);
}

RegistryOptions& registry_of(Options& options) {
  if (!options.registry) options.registry.emplace();
  return *options.registry;
}
template <std::string RegistryOptions::*Member>
Result<void> set_registry(Options& options, std::string_view value) {
  registry_of(options).*Member = value;
  return {};
}
template <bool RegistryOptions::*Member>
Result<void> switch_registry(Options& options, std::string_view value) {
  TRY(registry_of(options).*Member, boolean(value));
  return {};
}

Result<void> set_log_option(Options& options, std::string_view value) {
  size_t equals = value.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return failure(Kind::InvalidArgument, "invalid log option \"{}\": expected name=value", value);
  }
  options.log_options[std::string(value.substr(0, equals))] = value.substr(equals + 1);
  return {};
}

/// How many layers at a time.
template <unsigned Options::*Member>
Result<void> set_count(Options& options, std::string_view value) {
  TRY(options.*Member, number<unsigned>(value));
  if (options.*Member >= 1 && options.*Member <= 64) return {};
  return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected 1 to 64", value);
}
/// "cdi", "cdi=false". Those that are not known are nobody's.
Result<void> set_feature(Options& options, std::string_view value) {
  size_t equals = value.find('=');
  bool on = true;
  if (equals != value.npos) {
    TRY(on, boolean(value.substr(equals + 1)));
  }
  if (equals == 0 || value.empty()) return Error(Kind::InvalidArgument, "a feature needs a name");
  options.features[std::string(value.substr(0, equals))] = on;
  return {};
}
Result<void> set_log_format(Options& options, std::string_view value) {
  if (value != "text" && value != "json")
    return failure(Kind::InvalidArgument, "invalid log format \"{}\": expected text or json", value);
  options.log_format = value == "json" ? log::Format::Json : log::Format::Text;
  return {};
}

constexpr Flag flags[] = {
    {"allow-direct-routing", 0, "", "Published ports are open at containers' own addresses as well",
     set_switch<&Options::direct_routing>},
    {"audit-log", 0, "file", "Write who did what to this file, one JSON object a line",
     set_text<&Options::audit_log>},
    {"authorization-plugin", 0, "list", "Ask this authorization plugin about each request",
     append<&Options::authorization_plugins>},
    {"bip", 0, "string", "IPv4 address and prefix length of the default bridge", set_text<&Options::bip>},
    {"bip6", 0, "string", "IPv6 address and prefix length of the default bridge", set_text<&Options::bip6>},
    {"bridge", 'b', "string", "Bridge of the default network (default: its own), or \"none\"",
     set_text<&Options::bridge>},
    {"cgroup-parent", 0, "string", "Parent cgroup of all containers (default \"/berth\")",
     set_text<&Options::cgroup_parent>},
    {"cdi-spec-dir", 0, "list",
     "Directory of CDI specifications of devices, the later the stronger (default \"/etc/cdi\" and "
     "\"/var/run/cdi\"; \"\": none)",
     [](Options& options, std::string_view value) -> Result<void> {
       if (!options.cdi_spec_dirs) options.cdi_spec_dirs.emplace();
       if (!value.empty()) options.cdi_spec_dirs->emplace_back(value);
       return {};
     }},
    {"config-file", 0, "string",
     "Daemon configuration as JSON, with dockerd's keys (default \"/etc/berth/daemon.json\")",
     set_text<&Options::config_file>},
    {"data-root", 0, "string",
     "Where state, images and volumes are kept (default \"/var/lib/berth\", for ordinary users "
     "\"~/.local/share/berth\")",
     set_text<&Options::data_root>},
    {"debug", 'D', "", "Log at level debug",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(bool on, boolean(value));
       if (on) options.log_level = log::Level::Debug;
       return {};
     }},
    {"default-address-pool", 0, "pool", "Subnets of networks that ask for none: base=10.10.0.0/16,size=24",
     append<&Options::address_pools>},
    {"default-cgroupns-mode", 0, "string",
     "cgroup namespace of containers without a mode: private or host (default \"private\")",
     set_text<&Options::default_cgroupns_mode>},
    {"default-gateway", 0, "ip",
     "Where containers of the default bridge send what leaves it (default: the bridge)",
     set_text<&Options::default_gateway>},
    {"default-gateway-v6", 0, "ip", "The same for IPv6", set_text<&Options::default_gateway6>},
    {"default-ipc-mode", 0, "string",
     "IPC of containers without a mode: private or shareable (default \"private\")",
     set_text<&Options::default_ipc_mode>},
    {"default-network-opt", 0, "driver=opt=value", "Option of new networks that do not give it",
     append<&Options::default_network_opts>},
    {"default-shm-size", 0, "bytes", "Size of /dev/shm of containers without their own (default 64M)",
     set_text<&Options::default_shm_size>},
    {"default-ulimit", 0, "ulimit", "Limit of containers without their own, as name=soft:hard",
     append<&Options::default_ulimits>},
    {"dns", 0, "list", "Name server of containers without their own", append<&Options::dns>},
    {"dns-opt", 0, "list", "Option of the resolver of containers without their own",
     append<&Options::dns_options>},
    {"dns-search", 0, "list", "Search domain of containers without their own", append<&Options::dns_search>},
    {"exec-root", 0, "string",
     "Where sockets and other runtime state are kept (default \"/run/berth\", for ordinary users "
     "\"$XDG_RUNTIME_DIR/berth\")",
     set_text<&Options::exec_root>},
    {"feature", 0, "name=bool", "Switch a feature on or off: cdi (default true)", set_feature},
    {"fixed-cidr", 0, "string", "Part of the default bridge's IPv4 subnet that containers get addresses of",
     set_text<&Options::fixed_cidr>},
    {"fixed-cidr-v6", 0, "string",
     "Part of the default bridge's IPv6 subnet that containers get addresses of",
     set_text<&Options::fixed_cidr6>},
    {"functions-addr", 0, "string",
     "Where the functions' API (AWS Lambda's and its neighbours') listens, or \"none\" (default "
     "\"127.0.0.1:4566\")",
     set_text<&Options::functions_address>},
    {"functions-base-registry", 0, "string",
     "Where AWS's bases of runtimes are pulled from, or \"\" for nowhere (default \"public.ecr.aws/lambda\")",
     [](Options& options, std::string_view value) -> Result<void> {
       if (!value.empty() && !spec::Reference::parse(std::string(value) + "/base"))
         return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected HOST[:PORT]/PATH", value);
       options.functions_base_registry = value;
       return {};
     }},
    {"functions-bases", 0, "string",
     "made (pulled where berth cannot make one) or pulled (made where none can be pulled) (default \"made\")",
     [](Options& options, std::string_view value) -> Result<void> {
       if (value != "made" && value != "pulled") {
         return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected made or pulled", value);
       }
       options.functions_bases_pulled = value == "pulled";
       return {};
     }},
    {"functions-keys", 0, "string", "File of \"ACCESS_KEY_ID SECRET\" lines that signatures are checked with",
     set_text<&Options::functions_keys>},
    {"functions-limits", 0, "string", "open, or strict for AWS's limits (default \"open\")",
     [](Options& options, std::string_view value) -> Result<void> {
       if (value != "open" && value != "strict") {
         return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected open or strict", value);
       }
       options.functions_strict = value == "strict";
       return {};
     }},
    {"functions-prepared", 0, "int", "Sandboxes of functions that are made ahead, 0 to 1000 (default 8)",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(options.functions_prepared, number<unsigned>(value));
       if (options.functions_prepared <= 1000) return {};
       return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected 0 to 1000", value);
     }},
    {"group", 'G', "string", "Group that may use the unix socket (default \"berth\" where it exists)",
     set_text<&Options::group>},
    {"help", 'h', "", "Print this and exit",
     [](Options& options, std::string_view) -> Result<void> {
       options.action = Options::Action::ShowHelp;
       return {};
     }},
    {"host", 'H', "list",
     "Where to listen: unix://PATH, [tcp://]IP:PORT or fd:// (default unix://<exec-root>/berth.sock)",
     append<&Options::hosts>},
    {"host-gateway-ip", 0, "ip",
     "What \"host-gateway\" of --add-host is (default: the default bridge's gateway)",
     append<&Options::host_gateways>},
    {"http-proxy", 0, "string", "Proxy for plain HTTP to registries (default: of the environment)",
     set_text<&Options::http_proxy>},
    {"https-proxy", 0, "string", "Proxy for HTTPS to registries (default: of the environment)",
     set_text<&Options::https_proxy>},
    {"icc", 0, "", "Containers of the default bridge reach each other (default true)",
     set_switch<&Options::inter_container>},
    {"init", 0, "", "Run an init in containers that do not say", set_switch<&Options::init>},
    {"insecure-registry", 0, "list",
     "Registry (HOST[:PORT] or network) that may be spoken to by HTTP or with any certificate",
     append<&Options::insecure_registries>},
    {"ip", 0, "ip", "Host address that published ports without an address are bound to",
     set_text<&Options::default_address>},
    {"ipv6", 0, "", "IPv6 on the default bridge (default true)", set_switch<&Options::ipv6>},
    {"ip-forward", 0, "", "Switch the forwarding of packets on (default true)",
     set_switch<&Options::ip_forward>},
    {"ip-forward-no-drop", 0, "", "Forward what is not containers' as well, where forwarding was off",
     set_switch<&Options::ip_forward_no_drop>},
    {"ip-masq", 0, "", "Containers of the default bridge have the host's address outside (default true)",
     set_switch<&Options::ip_masquerade>},
    {"ip6tables", 0, "", "Filter and redirect IPv6 packets (default true)", set_switch<&Options::ip6tables>},
    {"iptables", 0, "", "Filter and redirect IPv4 packets (default true)", set_switch<&Options::iptables>},
    {"keeper", 0, "string", "Path of the berth-keeper program (default beside berthd)",
     set_text<&Options::keeper>},
    {"label", 0, "list", "Label of the engine, as key=value", append<&Options::labels>},
    {"live-restore", 0, "", "Containers go on running when the engine stops (default true)",
     set_switch<&Options::live_restore>},
    {"log-driver", 0, "string", "Log driver of containers without their own (default \"json-file\")",
     set_text<&Options::log_driver>},
    {"log-format", 0, "string", "text or json (default \"text\")", set_log_format},
    {"log-level", 'l', "string", "debug, info, warn, error or fatal (default \"info\")",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(options.log_level, level(value));
       return {};
     }},
    {"log-opt", 0, "name=value", "Log option of containers without their own", set_log_option},
    {"log-total-size", 0, "size", "Bound on all containers' logs together, such as 10g (default none)",
     set_text<&Options::log_total_size>},
    {"max-concurrent-downloads", 0, "int", "Layers pulled at a time (default 3)",
     set_count<&Options::max_downloads>},
    {"max-concurrent-uploads", 0, "int", "Layers pushed at a time (default 5)",
     set_count<&Options::max_uploads>},
    {"max-download-attempts", 0, "int", "Times that a download is taken up again in vain (default 5)",
     set_count<&Options::max_download_attempts>},
    {"metrics-addr", 0, "address", "Serve GET /metrics for Prometheus on this IP:PORT as well",
     set_text<&Options::metrics_address>},
    {"network-control-plane-mtu", 0, "int", "", ignore},  // of swarms, as the next
    {"network-diagnostic-port", 0, "int", "", ignore},
    {"mtu", 0, "int", "MTU of the default bridge (default that of the host's default route)",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(options.mtu, number<uint32_t>(value));
       return {};
     }},
    {"no-new-privileges", 0, "", "Processes of containers that do not say gain no privileges",
     set_switch<&Options::no_new_privileges>},
    {"no-proxy", 0, "string", "Hosts that are reached without a proxy (default: of the environment)",
     set_text<&Options::no_proxy>},
    {"pidfile", 'p', "string", "A further file for the daemon's process id", set_text<&Options::pid_file>},
    {"registry-addr", 0, "string", "Serve the images' store as a registry as well, at IP:PORT",
     set_registry<&RegistryOptions::address>},
    {"registry-cert", 0, "string", "Certificate of the registry; without it: plain HTTP",
     set_registry<&RegistryOptions::certificate>},
    {"registry-delete", 0, "", "Allow deletion in the registry (default true)",
     switch_registry<&RegistryOptions::deletion>},
    {"registry-htpasswd", 0, "string", "Users of the registry, with bcrypt passwords",
     set_registry<&RegistryOptions::htpasswd>},
    {"registry-key", 0, "string", "Key of the registry's certificate", set_registry<&RegistryOptions::key>},
    {"registry-quota", 0, "int", "Bytes that each repository of the registry may hold",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(registry_of(options).quota, number<uint64_t>(value));
       return {};
     }},
    {"registry-readonly", 0, "", "Refuse pushes to the registry",
     switch_registry<&RegistryOptions::read_only>},
    {"registry-mirror", 0, "list",
     "Mirror to be asked before a registry, as [REGISTRY=]URL (default docker.io's)",
     append<&Options::registry_mirrors>},
    {"registry-token-server", 0, "list",
     "Host (HOST[:PORT]) that registries on other hosts may have their credentials sent to",
     append<&Options::token_servers>},
    {"rootless-network", 0, "string",
     "Network of an ordinary user's engine: auto, pasta, slirp4netns or none (default \"auto\")",
     [](Options& options, std::string_view value) -> Result<void> {
       options.rootless_network = value;
       CHECK(rootless::uplink_programs(options.rootless_network));
       return {};
     }},
    {"seccomp-profile", 0, "string",
     "Filter of containers without their own: a file, builtin or unconfined (default \"builtin\")",
     set_text<&Options::seccomp_profile>},
    {"shutdown-timeout", 0, "int", "Seconds to wait for unfinished work when stopping (default 15)",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(options.shutdown_timeout, number<int>(value));
       return {};
     }},
    {"signature-policy", 0, "file", "Which images need whose signatures (JSON); default: none",
     set_text<&Options::signature_policy>},
    {"storage-quota", 0, "size",
     "Bound on images' disk use, such as 20GB: unused ones go, the least recently used first (default none)",
     set_text<&Options::storage_quota>},
    {"tls", 0, "", "Use TLS on TCP addresses; =false: serve one that is not the loopback's in the clear",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(bool wanted, boolean(value));
       options.open_tcp = !wanted;
       if (wanted && options.tls == Options::Tls::Off) options.tls = Options::Tls::On;
       return {};
     }},
    {"tlscacert", 0, "string", "CA that has signed the clients' certificates (default \"~/.docker/ca.pem\")",
     set_text<&Options::tls_ca>},
    {"tlscert", 0, "string", "The server's certificate (default \"~/.docker/cert.pem\")",
     set_text<&Options::tls_certificate>},
    {"tlskey", 0, "string", "Its key (default \"~/.docker/key.pem\")", set_text<&Options::tls_key>},
    {"tlsverify", 0, "", "Use TLS and demand a certificate of the client",
     [](Options& options, std::string_view value) -> Result<void> {
       TRY(bool wanted, boolean(value));
       if (wanted) options.tls = Options::Tls::Mutual;
       return {};
     }},
    {"userland-proxy", 0, "", "", ignore},
    {"userland-proxy-path", 0, "string", "", ignore},
    {"userns-remap", 0, "user",
     "Range of ids that containers' users are mapped to unless they say otherwise: USER[:GROUP] of "
     "/etc/subuid, "
     "or \"default\"",
     set_text<&Options::userns_remap>},
    {"validate", 0, "", "Check the configuration and exit",
     [](Options& options, std::string_view) -> Result<void> {
       options.action = Options::Action::Validate;
       return {};
     }},
    {"version", 'v', "", "Print the version and exit",
     [](Options& options, std::string_view) -> Result<void> {
       options.action = Options::Action::ShowVersion;
       return {};
     }},
};

template <class Test>
const Flag* find_where(Test test) {
  for (std::span<const Flag> table : {std::span<const Flag>(flags), docker_flags()}) {
    auto flag = std::ranges::find_if(table, test);
    if (flag != table.end()) return &*flag;
  }
  return nullptr;
}
const Flag* find_flag(std::string_view name) {
  return find_where([&](const Flag& flag) { return flag.name == name; });
}
const Flag* find_flag(char letter) {
  return find_where([&](const Flag& flag) { return flag.letter == letter; });
}

/// Hands out the arguments one by one.
class Arguments {
 public:
  explicit Arguments(std::span<const char* const> all) : all_(all) {}
  bool empty() const { return next_ == all_.size(); }
  std::string_view take() { return all_[next_++]; }

 private:
  std::span<const char* const> all_;
  size_t next_ = 0;
};

Result<void> apply(const Flag& flag, std::optional<std::string_view> value, Arguments& rest,
                   Options& options) {
  if (!value) {
    if (flag.value.empty()) {
      value = "true";
    } else if (rest.empty()) {
      return failure(Kind::InvalidArgument, "flag needs an argument: --{}", flag.name);
    } else {
      value = rest.take();
    }
  }
  std::string& given = options.given[std::string(flag.name)];
  given += (given.empty() ? "" : ",") + std::string(*value);
  if (auto applied = flag.apply(options, *value); !applied) {
    return std::move(applied).error().in(fmt::format("--{}", flag.name));
  }
  return {};
}

Result<void> parse_long(std::string_view text, Arguments& rest, Options& options) {
  size_t equals = text.find('=');
  const Flag* flag = find_flag(text.substr(0, equals));
  if (flag == nullptr) return failure(Kind::InvalidArgument, "unknown flag: --{}", text.substr(0, equals));
  std::optional<std::string_view> value;
  if (equals != std::string_view::npos) value = text.substr(equals + 1);
  return apply(*flag, value, rest, options);
}

/// -D, -Hunix://x, -H=unix://x, -H unix://x, -Dl info
Result<void> parse_letters(std::string_view text, Arguments& rest, Options& options) {
  while (!text.empty()) {
    const Flag* flag = find_flag(text.front());
    if (flag == nullptr) return failure(Kind::InvalidArgument, "unknown shorthand flag: '{}'", text.front());
    text.remove_prefix(1);
    std::optional<std::string_view> value;
    bool takes_rest = !flag->value.empty() && !text.empty();
    if (text.starts_with('=') || takes_rest) {
      value = text.substr(text.starts_with('=') ? 1 : 0);
      text = {};
    }
    CHECK(apply(*flag, value, rest, options));
  }
  return {};
}

}  // namespace

Result<Options> parse_options(std::span<const char* const> arguments) {
  Options options;
  Arguments rest(arguments);
  while (!rest.empty()) {
    std::string_view argument = rest.take();
    if (argument.starts_with("--") && argument.size() > 2) {
      CHECK(parse_long(argument.substr(2), rest, options));
    } else if (argument.starts_with('-') && argument.size() > 1 && argument != "--") {
      CHECK(parse_letters(argument.substr(1), rest, options));
    } else {
      return failure(Kind::InvalidArgument, "berthd takes no arguments, only flags: \"{}\"", argument);
    }
  }
  for (const std::string* path : {&options.data_root, &options.exec_root}) {
    if (!path->empty() && !path->starts_with('/')) {
      return failure(Kind::InvalidArgument, "\"{}\": --data-root and --exec-root must be absolute paths",
                     *path);
    }
  }
  if (options.registry && options.registry->address.empty()) {
    return Error(Kind::InvalidArgument, "--registry-... needs --registry-addr IP:PORT");
  }
  for (const std::string& host : options.hosts) CHECK(parse_listen_address(host));
  return options;
}

Result<Options> load_options(std::span<const char* const> arguments) {
  TRY(Options options, parse_options(arguments));
  // The usual way to say that no file of the host's is to be read.
  if (options.config_file == "/dev/null") return options;
  auto text = sys::read_file(options.config_file, size_t{1} << 20);
  if (!text) {
    bool optional = text.error().kind() == Kind::NotFound && !options.given.contains("config-file");
    if (optional) return options;
    return std::move(text).error().in("unable to configure the Docker daemon with file", options.config_file);
  }
  if (auto applied = apply_config_file(*text, options); !applied) {
    return std::move(applied).error().in("unable to configure the Docker daemon with file",
                                         options.config_file);
  }
  for (const std::string& host : options.hosts) CHECK(parse_listen_address(host));
  return options;
}

bool is_flag(std::string_view name) {
  return find_flag(name) != nullptr;
}

Result<void> apply_flag(std::string_view name, std::string_view value, Options& options) {
  const Flag* flag = find_flag(name);
  if (flag == nullptr) return failure(Kind::NotFound, "unknown flag: --{}", name);
  return flag->apply(options, value);
}

std::string help_text() {
  std::string text =
      "Usage:  berthd [OPTIONS]\n\nThe engine of berth: runs containers and serves the Docker Engine API.\n"
      "Containers go on running when it stops; the next berthd takes them over.\n\nOptions:\n";
  for (const Flag& flag : flags) {
    if (flag.help.empty()) continue;
    std::string left = flag.letter != 0 ? fmt::format("  -{}, --{}", flag.letter, flag.name)
                                        : fmt::format("      --{}", flag.name);
    if (!flag.value.empty()) left.append(" ").append(flag.value);
    text += fmt::format("{:<38}{}\n", left, flag.help);
  }
  return text;
}

}  // namespace berth::berthd
