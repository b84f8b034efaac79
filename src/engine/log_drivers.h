// Log drivers: which there are, their options, and, for those that send lines elsewhere, what a line looks
// like on the wire. Pure. Every driver but "none" keeps the container's log on disk as well, within its
// bounds, so that `logs` works with all of them (docker's dual logging); sending is in log_forwarding.h.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "engine/records.h"
#include "spec/container.h"

namespace berth::engine {

/// Where lines are sent.
struct LogTarget {
  enum class Transport { UnixDatagram, UnixStream, Udp, Tcp };
  Transport transport = Transport::UnixDatagram;
  std::string address;  ///< path, host name or IP
  uint16_t port = 0;
};

/// Splunk's HTTP Event Collector.
struct SplunkCollector {
  enum class Format { Inline, Json, Raw };
  std::string url;  ///< of the collector's endpoint for events
  std::string token;
  std::string source = {};  ///< empty, as the next two: the collector's own
  std::string source_type = {};
  std::string index = {};
  std::string authority_file = {};  ///< PEM; empty: the host's
  /// Where the collector is, as CURLOPT_CONNECT_TO has it, when `url` has its certificate's name instead; and
  /// what requests call it.
  std::string route = {};
  std::string host = {};
  bool verifies = true;
  bool acknowledged = false;  ///< the token wants a channel
  Format format = Format::Inline;
};

/// A driver that sends.
struct RemoteLog {
  enum class Kind { Syslog, Journald, Fluentd, Gelf, Splunk };
  enum class Compression { None, Gzip, Zlib };
  enum class SyslogFormat { Local, Rfc3164, Rfc5424, Rfc5424Micro };
  Kind kind = Kind::Syslog;
  LogTarget target;
  unsigned facility = 3;  ///< syslog(3): daemon
  SyslogFormat format = SyslogFormat::Local;
  std::string tag = {};   ///< template, "{{.Name}}/{{.ID}}"; empty: the driver's default
  bool untagged = false;  ///< an empty one is none
  bool subsecond = false;
  Compression compression = Compression::None;  ///< of GELF's datagrams and of Splunk's requests
  int compression_level = 1;                    ///< -1 to 9
  SplunkCollector splunk = {};
};

/// Nothing for drivers that keep lines on this host alone. InvalidArgument in docker's words: an unknown
/// driver, option or value.
Result<std::optional<RemoteLog>> parse_log_driver(const spec::LogConfig& config);

/// What a line comes from.
struct LogOrigin {
  std::string container_id;
  std::string container_name;
  std::string image_name;
  std::string image_id;
  std::string host_name;
  std::string command;
  Timestamp created{};
  std::string tag;                                     ///< the template filled in
  std::map<std::string, std::string> attributes = {};  ///< log_attributes
};
LogOrigin log_origin(const ContainerRecord& record, const RemoteLog& remote, std::string host_name);

struct LogLine {
  Timestamp time{};
  bool is_error = false;  ///< from stderr
  std::string_view text;  ///< without its end
};

/// The datagrams, or the bytes of a stream, that carry a line. None: it cannot be sent.
std::vector<std::string> log_messages(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line);

/// The labels and variables of a container that --log-opt labels=, labels-regex=, env= and env-regex= name.
std::map<std::string, std::string> log_attributes(const ContainerRecord& record);

/// InvalidArgument: an expression of --log-opt labels-regex= or env-regex= is none.
Result<void> check_log_attributes(const spec::LogConfig& config);

}  // namespace berth::engine
