// Drivers and their options.
#include "engine/log_drivers.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/format.h"
#include "engine/log_splunk.h"

namespace berth::engine {
namespace {

using Options = std::vector<std::string_view>;
using Transport = LogTarget::Transport;

/// Options by driver; those that bound the copy on disk are everywhere.
const Options* options_of(std::string_view driver) {
  static const std::map<std::string_view, Options> table = {
      {"json-file",
       {"max-size", "max-file", "compress", "labels", "labels-regex", "env", "env-regex", "tag"}},
      {"local", {"max-size", "max-file", "compress"}},
      {"none", {}},
      {"syslog",
       {"syslog-address", "syslog-facility", "syslog-format", "tag", "labels", "labels-regex", "env",
        "env-regex"}},
      {"journald", {"tag", "labels", "labels-regex", "env", "env-regex"}},
      {"fluentd",
       {"fluentd-address", "fluentd-async", "fluentd-async-connect", "fluentd-async-reconnect-interval",
        "fluentd-buffer-limit", "fluentd-max-retries", "fluentd-retry-wait", "fluentd-sub-second-precision",
        "fluentd-write-timeout", "tag", "labels", "labels-regex", "env", "env-regex"}},
      {"gelf",
       {"gelf-address", "gelf-compression-type", "gelf-compression-level", "gelf-tcp-max-reconnect",
        "gelf-tcp-reconnect-delay", "tag", "labels", "labels-regex", "env", "env-regex"}},
      {"splunk",
       {"splunk-url", "splunk-token", "splunk-source", "splunk-sourcetype", "splunk-index", "splunk-capath",
        "splunk-caname", "splunk-insecureskipverify", "splunk-format", "splunk-verify-connection",
        "splunk-gzip", "splunk-gzip-level", "splunk-index-acknowledgment", "tag", "labels", "labels-regex",
        "env", "env-regex"}},
  };
  auto found = table.find(driver.empty() ? "json-file" : driver);
  return found == table.end() ? nullptr : &found->second;
}

bool is_common(std::string_view option) {
  constexpr std::array<std::string_view, 5> common = {"mode", "max-buffer-size", "cache-disabled",
                                                      "cache-max-size", "cache-max-file"};
  return std::find(common.begin(), common.end(), option) != common.end();
}

std::string option(const spec::LogConfig& config, const std::string& name, std::string fallback = {}) {
  auto found = config.config.find(name);
  return found == config.config.end() || found->second.empty() ? std::move(fallback) : found->second;
}

Result<void> check_options(const spec::LogConfig& config) {
  const Options* known = options_of(config.type);
  if (known == nullptr)
    return failure(Kind::InvalidArgument, "logger: no log driver named '{}' is registered", config.type);
  for (const auto& [name, value] : config.config) {
    bool allowed = std::find(known->begin(), known->end(), name) != known->end() ||
                   (config.type != "none" && is_common(name));
    if (!allowed)
      return failure(Kind::InvalidArgument, "unknown log opt '{}' for {} log driver", name, config.type);
  }
  std::string mode = option(config, "mode", "blocking");
  if (mode != "blocking" && mode != "non-blocking")
    return failure(Kind::InvalidArgument, "logger: logging mode not supported: {}", mode);
  return {};
}

/// "host:port", "[::1]:port", "host".
Result<LogTarget> network_target(Transport transport, std::string_view text, uint16_t default_port) {
  LogTarget target{.transport = transport, .port = default_port};
  size_t colon = text.rfind(':');
  size_t bracket = text.rfind(']');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    std::string_view digits = text.substr(colon + 1);
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), target.port);
    if (error != std::errc() || end != digits.data() + digits.size() || target.port == 0)
      return failure(Kind::InvalidArgument, "invalid port in log address \"{}\"", text.substr(0, 200));
    text = text.substr(0, colon);
  }
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  if (text.empty()) return Error(Kind::InvalidArgument, "invalid log address: it names no host");
  target.address = text;
  return target;
}

Result<LogTarget> parse_target(std::string_view text, uint16_t default_port) {
  auto rest = [&](std::string_view scheme) { return text.substr(scheme.size()); };
  if (text.starts_with("unix://")) return LogTarget{Transport::UnixStream, std::string(rest("unix://")), 0};
  if (text.starts_with("unixgram://"))
    return LogTarget{Transport::UnixDatagram, std::string(rest("unixgram://")), 0};
  if (text.starts_with("udp://")) return network_target(Transport::Udp, rest("udp://"), default_port);
  if (text.starts_with("tcp://")) return network_target(Transport::Tcp, rest("tcp://"), default_port);
  return failure(Kind::InvalidArgument,
                 "unsupported scheme in log address \"{}\": unix, unixgram, udp or tcp", text.substr(0, 200));
}

Result<unsigned> facility_number(std::string_view name) {
  constexpr std::array<std::string_view, 24> names = {
      "kern",   "user",   "mail",     "daemon", "auth",   "syslog", "lpr",    "news",
      "uucp",   "cron",   "authpriv", "ftp",    "",       "",       "",       "",
      "local0", "local1", "local2",   "local3", "local4", "local5", "local6", "local7"};
  unsigned number = 0;
  auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error == std::errc() && end == name.data() + name.size() && number < names.size()) return number;
  auto found = std::find(names.begin(), names.end(), name);
  if (name.empty() || found == names.end())
    return failure(Kind::InvalidArgument, "invalid syslog facility: {}", name.substr(0, 64));
  return static_cast<unsigned>(found - names.begin());
}

Result<void> parse_syslog(const spec::LogConfig& config, RemoteLog& remote) {
  remote.kind = RemoteLog::Kind::Syslog;
  std::string address = option(config, "syslog-address");
  if (address.empty()) {
    remote.target = {Transport::UnixDatagram, "/dev/log", 0};
  } else {
    TRY(remote.target, parse_target(address, 514));
    remote.format = RemoteLog::SyslogFormat::Rfc3164;
  }
  TRY(remote.facility, facility_number(option(config, "syslog-facility", "daemon")));
  std::string format = option(config, "syslog-format");
  if (format == "rfc3164") {
    remote.format = RemoteLog::SyslogFormat::Rfc3164;
  } else if (format == "rfc5424") {
    remote.format = RemoteLog::SyslogFormat::Rfc5424;
  } else if (format == "rfc5424micro") {
    remote.format = RemoteLog::SyslogFormat::Rfc5424Micro;
  } else if (!format.empty()) {
    return failure(Kind::InvalidArgument, "Invalid syslog format: {}", format.substr(0, 64));
  }
  return {};
}

Result<void> parse_fluentd(const spec::LogConfig& config, RemoteLog& remote) {
  remote.kind = RemoteLog::Kind::Fluentd;
  std::string address = option(config, "fluentd-address", "127.0.0.1:24224");
  if (address.find("://") == std::string::npos) address = "tcp://" + address;
  TRY(remote.target, parse_target(address, 24224));
  std::string subsecond = option(config, "fluentd-sub-second-precision", "false");
  remote.subsecond = subsecond == "true" || subsecond == "1";
  return {};
}

std::optional<int> number_between(std::string_view text, int least, int most) {
  int number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && number >= least && number <= most ? std::optional(number) : std::nullopt;
}

Result<void> parse_gelf_compression(const spec::LogConfig& config, RemoteLog& remote) {
  auto unknown = [](std::string_view value, std::string_view name) {
    return failure(Kind::InvalidArgument, "unknown value \"{}\" for log opt \"{}\" for gelf log driver",
                   value.substr(0, 64), name);
  };
  const std::string type = option(config, "gelf-compression-type", "gzip");
  if (type == "gzip") {
    remote.compression = RemoteLog::Compression::Gzip;
  } else if (type == "zlib") {
    remote.compression = RemoteLog::Compression::Zlib;
  } else if (type != "none") {
    return unknown(type, "gelf-compression-type");
  }
  const std::string level = option(config, "gelf-compression-level", "1");
  auto number = number_between(level, -1, 9);
  if (!number) return unknown(level, "gelf-compression-level");
  remote.compression_level = *number;
  return {};
}

Result<void> parse_gelf(const spec::LogConfig& config, RemoteLog& remote) {
  remote.kind = RemoteLog::Kind::Gelf;
  std::string address = option(config, "gelf-address");
  bool known = address.starts_with("udp://") || address.starts_with("tcp://");
  if (!known) return Error(Kind::InvalidArgument, "gelf-address is a required parameter: udp:// or tcp://");
  TRY(remote.target, parse_target(address, 12201));
  bool datagrams = remote.target.transport == Transport::Udp;
  for (const char* name : {"gelf-compression-type", "gelf-compression-level"}) {
    if (!datagrams && config.config.contains(name))
      return Error(Kind::InvalidArgument, "compression is only supported on UDP");
  }
  for (const char* name : {"gelf-tcp-max-reconnect", "gelf-tcp-reconnect-delay"}) {
    if (!config.config.contains(name)) continue;
    if (datagrams) return failure(Kind::InvalidArgument, "\"{}\" is only valid for TCP", name);
    // What cannot be sent waits on disk here, and is tried again by one rule for all drivers.
    if (!number_between(option(config, name), 0, INT32_MAX))
      return failure(Kind::InvalidArgument, "\"{}\" must be a positive integer", name);
  }
  return datagrams ? parse_gelf_compression(config, remote) : Result<void>();
}

void replace_all(std::string& text, std::string_view what, std::string_view with) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

std::vector<std::pair<std::string_view, std::string>> tag_values(const LogOrigin& origin) {
  std::string_view image_digits = origin.image_id;
  if (image_digits.starts_with("sha256:")) image_digits.remove_prefix(7);
  return {{"{{.ID}}", origin.container_id.substr(0, 12)},
          {"{{.FullID}}", origin.container_id},
          {"{{.Name}}", origin.container_name},
          {"{{.ImageName}}", origin.image_name},
          {"{{.ImageID}}", std::string(image_digits.substr(0, 12))},
          {"{{.ImageFullID}}", std::string(image_digits)},
          {"{{.DaemonName}}", "berth"}};
}

std::string fill_tag(std::string tag, const LogOrigin& origin) {
  for (const auto& [name, value] : tag_values(origin)) replace_all(tag, name, value);
  return tag;
}

}  // namespace

Result<std::optional<RemoteLog>> parse_log_driver(const spec::LogConfig& config) {
  CHECK(check_options(config));
  CHECK(check_log_attributes(config));
  RemoteLog remote;
  remote.tag = option(config, "tag");
  if (std::string left = fill_tag(remote.tag, {}); left.find("{{") != std::string::npos) {
    return failure(
        Kind::InvalidArgument,
        "invalid log tag \"{}\": ID, FullID, Name, ImageName, ImageID, ImageFullID and DaemonName are "
        "known",
        remote.tag.substr(0, 200));
  }
  if (config.type == "syslog") {
    CHECK(parse_syslog(config, remote));
  } else if (config.type == "fluentd") {
    CHECK(parse_fluentd(config, remote));
  } else if (config.type == "gelf") {
    CHECK(parse_gelf(config, remote));
  } else if (config.type == "splunk") {
    CHECK(parse_splunk(config, remote));
  } else if (config.type == "journald") {
    remote.kind = RemoteLog::Kind::Journald;
    remote.target = {Transport::UnixDatagram, "/run/systemd/journal/socket", 0};
  } else {
    return std::optional<RemoteLog>();
  }
  return std::optional<RemoteLog>(std::move(remote));
}

LogOrigin log_origin(const ContainerRecord& record, const RemoteLog& remote, std::string host_name) {
  LogOrigin origin{.container_id = record.id,
                   .container_name = record.name,
                   .image_name = record.config.image,
                   .image_id = record.image_id.str(),
                   .host_name = std::move(host_name),
                   .command = record.path,
                   .created = record.created,
                   .tag = remote.tag,
                   .attributes = log_attributes(record)};
  for (const std::string& argument : record.args) origin.command.append(" ").append(argument);
  const bool untagged = remote.tag.empty() && remote.untagged;
  origin.tag = untagged ? std::string() : fill_tag(remote.tag.empty() ? "{{.ID}}" : remote.tag, origin);
  return origin;
}

}  // namespace berth::engine
