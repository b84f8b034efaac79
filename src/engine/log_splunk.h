// The splunk log driver: its options, and a line as Splunk's HTTP Event Collector takes it. Pure.
#pragma once

#include <string>

#include "engine/log_drivers.h"

namespace berth::engine {

/// The options of --log-opt splunk-*. InvalidArgument, in docker's words: no URL or token, a URL with a path,
/// an unknown format or level.
Result<void> parse_splunk(const spec::LogConfig& config, RemoteLog& remote);

/// One event of the collector's stream of JSON objects. Empty: a line of blanks, which the collector refuses.
std::string splunk_event(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line);

}  // namespace berth::engine
