// Splunk's events.
#include "engine/log_splunk.h"

#include <charconv>

#include "base/format.h"
#include "base/json.h"

namespace berth::engine {
namespace {

std::string option(const spec::LogConfig& config, const std::string& name) {
  auto found = config.config.find(name);
  return found == config.config.end() ? std::string() : found->second;
}

/// Go's strconv.ParseBool.
Result<bool> parse_flag(const spec::LogConfig& config, const std::string& name, bool fallback) {
  const std::string text = option(config, name);
  if (text.empty()) return fallback;
  for (const char* yes : {"1", "t", "T", "true", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "false", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return failure(Kind::InvalidArgument, "splunk: {} must be true or false, not \"{}\"", name,
                 text.substr(0, 64));
}

/// scheme://host[:port], and the collector's own path behind it.
Result<std::string> collector_url(std::string_view text) {
  auto bad = [] {
    return Error(Kind::InvalidArgument,
                 "splunk: expected format scheme://dns_name_or_ip:port for splunk-url");
  };
  std::string_view rest = text;
  if (rest.starts_with("https://")) {
    rest.remove_prefix(8);
  } else if (rest.starts_with("http://")) {
    rest.remove_prefix(7);
  } else {
    return bad();
  }
  if (rest.ends_with('/')) rest.remove_suffix(1);
  bool plain = !rest.empty() && rest.size() <= 300;
  for (char c : rest)
    plain = plain && c > ' ' && c < 0x7f && std::string_view("/?#@\\\"").find(c) == rest.npos;
  if (!plain) return bad();
  std::string_view base = text.ends_with('/') ? text.substr(0, text.size() - 1) : text;
  return std::string(base) + "/services/collector/event/1.0";
}

/// The certificate that is asked for and verified is that of `name`, wherever the URL leads: the URL gets the
/// name, and the connection the URL's host.
Result<void> expect_certificate_of(std::string name, SplunkCollector& collector) {
  constexpr std::string_view scheme = "https://";
  bool plain = name.size() <= 253;
  for (char c : name)
    plain = plain && c > ' ' && c < 0x7f && std::string_view("/?#@%\\\"[]").find(c) == name.npos;
  if (!plain)
    return Error(Kind::InvalidArgument, "splunk: splunk-caname must be the name of a host, or its address");
  if (name.empty() || !collector.url.starts_with(scheme)) return {};
  const size_t path = collector.url.find('/', scheme.size());
  collector.host = collector.url.substr(scheme.size(), path - scheme.size());
  const size_t bracket = collector.host.rfind(']');
  const size_t colon = collector.host.find(':', bracket == std::string::npos ? 0 : bracket);
  const std::string port = colon == std::string::npos ? std::string() : collector.host.substr(colon);
  collector.route = "::" + collector.host.substr(0, colon) + (port.empty() ? ":" : port);
  if (name.find(':') != std::string::npos) name = "[" + name + "]";
  collector.url = std::string(scheme) + name + port + collector.url.substr(path);
  return {};
}

Result<void> parse_format(const spec::LogConfig& config, SplunkCollector& collector) {
  const std::string format = option(config, "splunk-format");
  if (format.empty() || format == "inline") {
    collector.format = SplunkCollector::Format::Inline;
  } else if (format == "json") {
    collector.format = SplunkCollector::Format::Json;
  } else if (format == "raw") {
    collector.format = SplunkCollector::Format::Raw;
  } else {
    return failure(Kind::InvalidArgument,
                   "splunk: unknown format specified \"{}\", supported formats are inline, json and raw",
                   format.substr(0, 64));
  }
  return {};
}

Result<void> parse_compression(const spec::LogConfig& config, RemoteLog& remote) {
  TRY(bool gzip, parse_flag(config, "splunk-gzip", false));
  remote.compression = gzip ? RemoteLog::Compression::Gzip : RemoteLog::Compression::None;
  remote.compression_level = -1;
  const std::string level = option(config, "splunk-gzip-level");
  if (level.empty()) return {};
  auto [end, error] = std::from_chars(level.data(), level.data() + level.size(), remote.compression_level);
  bool known = error == std::errc() && end == level.data() + level.size() && remote.compression_level >= -1 &&
               remote.compression_level <= 9;
  if (known) return {};
  return failure(Kind::InvalidArgument,
                 "splunk: not supported level '{}' for splunk-gzip-level (supported values "
                 "between -1 and 9)",
                 level.substr(0, 64));
}

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == text.npos;
}

/// "tag name=value line", as the collector shows it.
std::string raw_event(const LogOrigin& origin, std::string_view text) {
  std::string event = origin.tag;
  for (const auto& [name, value] : origin.attributes) event += fmt::format(" {}={}", name, value);
  return event.append(event.empty() ? "" : " ").append(text);
}

Json event_of(const SplunkCollector& collector, const LogOrigin& origin, const LogLine& line) {
  if (collector.format == SplunkCollector::Format::Raw) return raw_event(origin, line.text);
  Json event = {{"line", line.text}, {"source", line.is_error ? "stderr" : "stdout"}};
  if (collector.format == SplunkCollector::Format::Json) {
    if (auto parsed = parse_json(line.text)) event["line"] = std::move(*parsed);
  }
  if (!origin.tag.empty()) event["tag"] = origin.tag;
  if (!origin.attributes.empty()) event["attrs"] = origin.attributes;
  return event;
}

}  // namespace

Result<void> parse_splunk(const spec::LogConfig& config, RemoteLog& remote) {
  // In docker these are found when the logger is made, at the start.
  constexpr std::string_view prefix = "failed to initialize logging driver";
  remote.kind = RemoteLog::Kind::Splunk;
  SplunkCollector& collector = remote.splunk;
  const std::string url = option(config, "splunk-url");
  if (url.empty()) return failure(Kind::InvalidArgument, "{}: splunk: splunk-url is expected", prefix);
  TRY(collector.url, collector_url(url));
  collector.token = option(config, "splunk-token");
  if (collector.token.empty())
    return failure(Kind::InvalidArgument, "{}: splunk: splunk-token is expected", prefix);
  for (char c : collector.token) {
    if (c < ' ' || c == 0x7f)
      return Error(Kind::InvalidArgument, "splunk: splunk-token holds a character that no header can");
  }
  remote.target.address = url;
  remote.untagged = config.config.contains("tag");
  collector.source = option(config, "splunk-source");
  collector.source_type = option(config, "splunk-sourcetype");
  collector.index = option(config, "splunk-index");
  collector.authority_file = option(config, "splunk-capath");
  CHECK(expect_certificate_of(option(config, "splunk-caname"), collector));
  TRY(bool unverified, parse_flag(config, "splunk-insecureskipverify", false));
  collector.verifies = !unverified;
  TRY(collector.acknowledged, parse_flag(config, "splunk-index-acknowledgment", false));
  // Nothing is asked at the start: a collector that is away delays nobody's container.
  CHECK(parse_flag(config, "splunk-verify-connection", true));
  CHECK(parse_format(config, collector));
  return parse_compression(config, remote);
}

std::string splunk_event(const RemoteLog& remote, const LogOrigin& origin, const LogLine& line) {
  if (is_blank(line.text)) return {};
  const SplunkCollector& collector = remote.splunk;
  const int64_t microseconds = to_unix_nanoseconds(line.time) / 1000;
  Json message = {{"event", event_of(collector, origin, line)},
                  {"time", fmt::format("{}.{:06}", microseconds / 1'000'000, microseconds % 1'000'000)},
                  {"host", origin.host_name}};
  if (!collector.source.empty()) message["source"] = collector.source;
  if (!collector.source_type.empty()) message["sourcetype"] = collector.source_type;
  if (!collector.index.empty()) message["index"] = collector.index;
  return to_json(message);
}

}  // namespace berth::engine
