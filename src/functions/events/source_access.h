// How a Kafka mapping's source access configurations, whose URIs name secrets, become librdkafka's settings.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "functions/catalog/records.h"

namespace berth::functions::events {

/// A secret's value by name or ARN; empty: there is none.
using ReadSecret = std::function<Result<std::optional<std::string>>(const std::string& id)>;

/// Pure. Settings in the order in which they are made; none: plain connections without a name. The forms of
/// secrets are AWS's: {"username", "password"} for BASIC_AUTH and SASL_SCRAM_*_AUTH, {"certificate"} for
/// SERVER_ROOT_CA_CERTIFICATE, {"certificate", "privateKey", "privateKeyPassword"} for
/// CLIENT_CERTIFICATE_TLS_AUTH. Names and passwords go over TLS, but to brokers on loopback for which no
/// certificate is given. NotFound, InvalidArgument, Unsupported: they name the configuration, not the
/// secret's content.
Result<std::vector<std::pair<std::string, std::string>>> kafka_access(const EventSourceMapping& mapping,
                                                                      const ReadSecret& read);

}  // namespace berth::functions::events
