// Streams, settings and the engine.
#include "apps/berth/context.h"

#include <errno.h>
#include <unistd.h>

#include <cstdlib>

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

Context::Context(GlobalOptions options, grammar::Tree tree) : options_(std::move(options)), tree_(tree) {
  std::string host = options_.host.empty() ? environment("BERTH_HOST") : options_.host;
  if (host.empty()) host = environment("DOCKER_HOST");
  may_start_daemon_ = host.empty();
  auto endpoint = client::parse_endpoint(host);
  if (endpoint) {
    endpoint_ = *endpoint;
    bool own = ::geteuid() == 0 || endpoint_.address != "/run/berth/berth.sock";
    may_start_daemon_ = own && endpoint_ == client::default_endpoint();
  } else {
    endpoint_error_ = endpoint.error();
  }
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
