// The certificates that berthd's TLS flags name.
#pragma once

#include "apps/berthd/options.h"
#include "base/result.h"

namespace berth::io {
struct TlsConfig;
}

namespace berth::berthd {

/// Reads certificate, key and, for mutual TLS, the clients' CA. The error names the flag and the file.
Result<io::TlsConfig> read_tls_files(const Options& options);

}  // namespace berth::berthd
