// Reading PEM files.
#include "apps/berthd/tls_files.h"

#include <cstdlib>

#include "base/format.h"
#include "io/tls.h"
#include "sys/file.h"

namespace berth::berthd {
namespace {

constexpr size_t max_pem = size_t{1} << 20;

/// docker's: $DOCKER_CERT_PATH, else ~/.docker.
std::string default_folder() {
  if (const char* folder = std::getenv("DOCKER_CERT_PATH"); folder != nullptr && folder[0] != '\0')
    return folder;
  const char* home = std::getenv("HOME");
  return std::string(home == nullptr ? "/root" : home) + "/.docker";
}

Result<std::string> read_pem(std::string_view flag, const std::string& given, std::string_view default_name) {
  std::string path = given.empty() ? fmt::format("{}/{}", default_folder(), default_name) : given;
  auto text = sys::read_file(path, max_pem);
  if (!text) return std::move(text).error().in(flag);
  return text;
}

}  // namespace

Result<io::TlsConfig> read_tls_files(const Options& options) {
  io::TlsConfig config;
  TRY(config.certificate, read_pem("--tlscert", options.tls_certificate, "cert.pem"));
  TRY(config.key, read_pem("--tlskey", options.tls_key, "key.pem"));
  if (options.tls == Options::Tls::Mutual) {
    TRY(config.client_ca, read_pem("--tlscacert", options.tls_ca, "ca.pem"));
  }
  return config;
}

}  // namespace berth::berthd
