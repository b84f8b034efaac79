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
  std::string keeper = {};  ///< path of berth-keeper; empty: beside berthd
  std::string cgroup_parent = {};
  std::string bip = {};              ///< address and length of the default bridge, "172.17.0.1/16"
  std::string bip6 = {};             ///< likewise
  std::string default_address = {};  ///< --ip
  bool ipv6 = true;
  bool inter_container = true;
  uint32_t mtu = 0;
  std::vector<std::string> default_ulimits = {};
  std::string log_driver = {};
  std::map<std::string, std::string> log_options = {};
  std::vector<std::string> insecure_registries = {};
  std::vector<std::string> registry_mirrors = {};  ///< [REGISTRY=]URL
  std::vector<std::string> token_servers = {};     ///< --registry-token-server
  unsigned max_downloads = 3;
  unsigned max_uploads = 5;
  std::string http_proxy = {};
  std::string https_proxy = {};
  std::string no_proxy = {};
  int shutdown_timeout = 15;                         ///< seconds
  std::string functions_address = "127.0.0.1:4566";  ///< "none": no listener
  std::string functions_keys = {};                   ///< path of a file of signing keys
  bool functions_strict = false;                     ///< AWS's limits instead of berth's own
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

  enum class Action { Serve, ShowHelp, ShowVersion };
  Action action = Action::Serve;
};

/// Arguments without the program's name. InvalidArgument in one line: "unknown flag: --x".
Result<Options> parse_options(std::span<const char* const> arguments);

std::string help_text();

}  // namespace berth::berthd
