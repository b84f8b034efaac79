// What berthd was asked to do on its command line: dockerd's flags, as far as they concern berth. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/log_lines.h"
#include "base/result.h"

namespace berth::berthd {

/// --registry-...
struct RegistryOptions {
  std::string address;
  std::string certificate, key, htpasswd;  ///< paths
  bool read_only = false;
  bool deletion = true;
  std::optional<uint64_t> quota;
};

struct Options {
  std::string data_root = {};           ///< empty: default_data_root()
  std::string exec_root = {};           ///< empty: default_exec_root()
  std::vector<std::string> hosts = {};  ///< as given; none: unix://<exec_root>/berth.sock
  std::string pid_file = {};            ///< besides <exec_root>/berthd.pid
  std::string group = {};               ///< owner of unix sockets; empty: "berth" if there is such a group
  log::Level log_level = log::Level::Info;
  log::Format log_format = log::Format::Text;
  std::string keeper = {};  ///< path of berth-keeper; empty: beside berthd
  std::string cgroup_parent = {};
  std::string bip = {};              ///< address and length of the default bridge, "172.17.0.1/16"
  std::string bip6 = {};             ///< likewise
  std::string default_address = {};  ///< --ip
  std::string fixed_cidr = {};       ///< part of the default bridge's subnet for containers
  std::string fixed_cidr6 = {};      ///< likewise
  std::string bridge = {};           ///< a bridge of the host's, or "none": no default network
  bool direct_routing = false;
  std::string default_gateway = {};   ///< where containers of the default bridge send what leaves it
  std::string default_gateway6 = {};  ///< likewise
  bool iptables = true, ip6tables = true;
  bool ip_forward = true, ip_forward_no_drop = false, ip_masquerade = true;
  std::vector<std::string> host_gateways = {};         ///< addresses
  std::vector<std::string> default_network_opts = {};  ///< "driver=option=value"
  bool ipv6 = true;
  bool inter_container = true;
  uint32_t mtu = 0;
  std::vector<std::string> default_ulimits = {};
  std::vector<std::string> dns = {}, dns_search = {}, dns_options = {};
  std::string default_cgroupns_mode = {}, default_ipc_mode = {};
  std::string default_shm_size = {};  ///< "64M"
  std::string seccomp_profile = {};   ///< path, "builtin" or "unconfined"
  bool init = false;
  bool no_new_privileges = false;
  bool live_restore = true;                                    ///< containers outlive the engine
  std::string userns_remap = {};                               ///< "default", "user[:group]"
  std::optional<std::vector<std::string>> cdi_spec_dirs = {};  ///< none: the usual two
  std::map<std::string, bool> features = {};
  uint64_t build_cache_bytes = 0;  ///< builder.gc: what is kept of the build cache; 0: all
  std::string log_driver = {};
  std::map<std::string, std::string> log_options = {};
  std::vector<std::string> insecure_registries = {};
  std::vector<std::string> registry_mirrors = {};  ///< [REGISTRY=]URL
  std::vector<std::string> token_servers = {};     ///< --registry-token-server
  unsigned max_downloads = 3;
  unsigned max_uploads = 5;
  unsigned max_download_attempts = 5;
  std::string http_proxy = {};
  std::string https_proxy = {};
  std::string no_proxy = {};
  int shutdown_timeout = 15;                                      ///< seconds
  std::string functions_address = "127.0.0.1:4566";               ///< "none": no listener
  std::string functions_keys = {};                                ///< path of a file of signing keys
  bool functions_strict = false;                                  ///< AWS's limits instead of berth's own
  bool functions_bases_pulled = false;                            ///< AWS's bases before berth's own
  std::string functions_base_registry = "public.ecr.aws/lambda";  ///< empty: none are pulled
  unsigned functions_prepared = 8;  ///< sandboxes that are made ahead, of all functions
  /// `--tls=false`: the user knows that whoever reaches the TCP port is root on this machine.
  bool open_tcp = false;
  /// Whether TCP addresses of -H speak TLS, and whether clients must show a certificate of tls_ca.
  enum class Tls { Off, On, Mutual };
  Tls tls = Tls::Off;
  std::string tls_ca = {};  ///< paths; empty: ca.pem, cert.pem, key.pem in $DOCKER_CERT_PATH or ~/.docker
  std::string tls_certificate = {};
  std::string tls_key = {};

  std::optional<RegistryOptions> registry = {};

  /// What carries packets out of an ordinary user's network namespace: auto, pasta, slirp4netns, none.
  std::string rootless_network = "auto";

  std::vector<std::string> address_pools = {};          ///< "base=10.10.0.0/16,size=24"
  std::vector<std::string> authorization_plugins = {};  ///< names
  std::vector<std::string> labels = {};                 ///< "key=value"
  std::string audit_log = {};                           ///< path; empty: none
  std::string metrics_address = {};   ///< "127.0.0.1:9323"; empty: GET /metrics on the sockets alone
  std::string log_total_size = {};    ///< "10g": all containers' logs together
  std::string storage_quota = {};     ///< "20GB": images on the disk; empty: none
  std::string signature_policy = {};  ///< path; empty: none
  std::string config_file = "/etc/berth/daemon.json";

  enum class Action { Serve, ShowHelp, ShowVersion, Validate };
  Action action = Action::Serve;
  std::vector<std::string> notices = {};                       ///< of what was taken and has no effect
  std::map<std::string, std::string, std::less<>> given = {};  ///< flags of the command line, by name
  std::map<std::string, std::string> in_file = {};             ///< keys of the configuration file, likewise
};

/// Arguments without the program's name. InvalidArgument in one line: "unknown flag: --x".
Result<Options> parse_options(std::span<const char* const> arguments);

/// The command line, and what the configuration file adds to it (config_file.h). The default file may be
/// missing.
Result<Options> load_options(std::span<const char* const> arguments);

/// Sets one option as its flag does. NotFound: no flag of this name.
Result<void> apply_flag(std::string_view name, std::string_view value, Options& options);
bool is_flag(std::string_view name);

/// All that was given, in the command line and in the file, as one JSON object; passwords left out.
std::string settings_text(const Options& options);
/// A value for a message: without a password of a URL.
std::string without_credentials(const std::string& value);

std::string help_text();

}  // namespace berth::berthd
