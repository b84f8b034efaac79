// Certificates for one registry: certs.d/HOST[:PORT]/{*.crt, *.cert, *.key} as docker reads them.
#pragma once

#include <string>

#include "base/result.h"
#include "registry/client/settings.h"

namespace berth::registry {

struct Certificates {
  std::string authorities;         ///< PEM, all *.crt together; empty: the system's alone
  std::string client_certificate;  ///< path; empty: none
  std::string client_key;          ///< path
};

/// From the first of the settings' folders that has one for the host. A certificate without its key, or the
/// other way round: InvalidArgument in docker's words.
Result<Certificates> find_certificates(const Settings& settings, const Url& url);

}  // namespace berth::registry
