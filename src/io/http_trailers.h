// Trailer fields of a chunked request (RFC 9110, 6.5): few requests have them, so they are kept out of
// Exchange.
#pragma once

#include <string>
#include <string_view>

#include "io/http_server.h"

namespace berth::io {

/// The field of that name behind the request's body, once the body has been read to its end; empty: there is
/// none. Only for exchanges that an HttpServer made.
std::string trailer_of(const Exchange& exchange, std::string_view name);

}  // namespace berth::io
