// Streams, settings and the engine.
#include "apps/berth/context.h"

#include <errno.h>
#include <unistd.h>

#include <cstdlib>

#include "apps/berth/client/context_store.h"
#include "apps/berth/client/daemon_start.h"

namespace berth::cli {
namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? std::string() : std::string(value);
}

Failure cannot_connect(const client::Endpoint& endpoint, const Error& error) {
  if (error.errno_value() == EACCES || error.errno_value() == EPERM) {
    return refuse(
        "permission denied while trying to connect to the berth daemon socket at {}: run berth as root",
        endpoint.str());
  }
  if (error.errno_value() == 0) return Failure::client(error.message());
  return refuse("Cannot connect to the berth daemon at {}. Is the berth daemon running? ({})", endpoint.str(),
                error.message());
}

}  // namespace

namespace {

constexpr uint16_t plain_port = 2375;
constexpr uint16_t tls_port = 2376;

/// As docker has it: the flag, else the file of that name in $DOCKER_CERT_PATH or the configuration's folder.
std::string tls_file(const std::string& given, const GlobalOptions& options, const char* name) {
  if (!given.empty()) return given;
  std::string folder = environment("BERTH_CERT_PATH");
  if (folder.empty()) folder = environment("DOCKER_CERT_PATH");
  if (folder.empty()) folder = configuration_folder(options.config_folder);
  return folder + "/" + name;
}

/// The TLS that flags and environment ask for.
std::optional<client::TlsFiles> wanted_tls(const GlobalOptions& options) {
  bool by_environment = !environment("BERTH_TLS_VERIFY").empty() || !environment("DOCKER_TLS_VERIFY").empty();
  if (!options.tls && !by_environment) return std::nullopt;
  client::TlsFiles files = options.tls.value_or(client::TlsFiles{});
  if (by_environment) files.server = client::TlsFiles::Server::Verified;
  files.ca = tls_file(options.tls_ca, options, "ca.pem");
  // A client certificate that nobody named need not be there.
  auto optional_file = [&](const std::string& given, const char* name) {
    std::string path = tls_file(given, options, name);
    return given.empty() && ::access(path.c_str(), F_OK) != 0 ? std::string() : path;
  };
  files.certificate = optional_file(options.tls_certificate, "cert.pem");
  files.key = optional_file(options.tls_key, "key.pem");
  return files;
}

}  // namespace

Context::Context(GlobalOptions options, grammar::Tree tree) : options_(std::move(options)), tree_(tree) {
  auto endpoint = choose_endpoint();
  if (endpoint) {
    endpoint_ = std::move(*endpoint);
  } else {
    endpoint_error_ = endpoint.error();
    may_start_daemon_ = false;
  }
}

/// -H, --context, $BERTH_HOST, $BERTH_CONTEXT, $DOCKER_HOST, what `context use` chose, berth's own socket:
/// the first that is given.
Result<client::Endpoint> Context::choose_endpoint() {
  std::string host = options_.host;
  std::string context = host.empty() ? options_.context : std::string();
  if (host.empty() && context.empty()) host = environment("BERTH_HOST");
  if (host.empty() && context.empty()) context = environment("BERTH_CONTEXT");
  if (host.empty() && context.empty()) host = environment("DOCKER_HOST");
  std::string folder = configuration_folder(options_.config_folder);
  if (host.empty() && context.empty()) context = client::current_context(folder);
  if (host.empty() && context == "default") host = environment("BERTH_HOST");
  if (host.empty() && !context.empty() && context != "default") {
    context_name_ = context;
    TRY(client::StoredContext stored, client::load_context(folder, context));
    return client::endpoint_of(stored);
  }
  auto tls = host.empty() ? std::nullopt : wanted_tls(options_);
  TRY(client::Endpoint endpoint, client::parse_endpoint(host, tls ? tls_port : plain_port));
  if (endpoint.scheme == client::Endpoint::Scheme::Tcp) endpoint.tls = std::move(tls);
  bool own = ::geteuid() == 0 || endpoint.address != "/run/berth/berth.sock";
  may_start_daemon_ = own && endpoint == client::default_endpoint();
  return endpoint;
}

client::Client& Context::engine() {
  if (engine_ == nullptr) engine_ = another_client();
  return *engine_;
}

std::unique_ptr<client::Client> Context::another_client() {
  return std::make_unique<client::Client>([this] { return connect(); }, configuration().http_headers);
}

Outcome<client::Connection> Context::connect() {
  if (endpoint_error_) return *endpoint_error_;
  auto fd = client::connect(endpoint_);
  if (!fd && may_start_daemon_ &&
      (fd.error().errno_value() == ENOENT || fd.error().errno_value() == ECONNREFUSED)) {
    CHECK(client::start_daemon(endpoint_));
    fd = client::connect(endpoint_);
  }
  if (!fd) return cannot_connect(endpoint_, fd.error());
  return client::Connection(std::move(*fd));
}

const Configuration& Context::configuration() {
  return mutable_configuration();
}

Configuration& Context::mutable_configuration() {
  if (!configuration_) {
    auto loaded = load_configuration(options_.config_folder);
    if (loaded) {
      configuration_ = std::move(*loaded);
    } else {
      warn(fmt::format("Error loading config file: {}", loaded.error().message()));
      configuration_ = Configuration{};
      configuration_->folder = configuration_folder(options_.config_folder);
    }
  }
  return *configuration_;
}

void Context::warn(std::string_view text) {
  out.flush();
  err.print("WARNING: {}\n", text);
  err.flush();
}

void Context::report(const Failure& failure) {
  if (failure.origin == Failure::Origin::Silent) return;
  out.flush();
  if (failure.origin == Failure::Origin::Client) err.write("berth: ");
  err.line(failure.text());
  err.flush();
}

}  // namespace berth::cli
