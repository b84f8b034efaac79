// Tests of log drivers: options, targets, and lines on the wire.
#include "engine/log_drivers.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::engine {
namespace {

LogOrigin origin() {
  return {.container_id = std::string(64, 'a'),
          .container_name = "web",
          .image_name = "app:1",
          .image_id = "sha256:0123456789abcdef",
          .host_name = "host",
          .command = "serve -v",
          .tag = "my tag",
          .attributes = {{"part", "x"}, {"_odd", "y"}}};
}

RemoteLog remote(spec::LogConfig config) {
  return parse_log_driver(config).value().value();
}

const LogLine line{
    .time = from_unix_nanoseconds(1'767'323'045'123'456'789), .is_error = true, .text = "hello"};

TEST(LogDrivers, KnowTheirTargets) {
  auto local = remote({.type = "syslog"});
  EXPECT_EQ(local.target.address, "/dev/log");
  auto udp = remote({.type = "syslog", .config = {{"syslog-address", "udp://[::1]:99"}}});
  EXPECT_EQ(udp.target.transport, LogTarget::Transport::Udp);
  EXPECT_EQ(udp.target.address, "::1");
  EXPECT_EQ(udp.target.port, 99);
  EXPECT_EQ(remote({.type = "fluentd", .config = {{"fluentd-address", "there"}}}).target.port, 24224);
  EXPECT_EQ(remote({.type = "fluentd", .config = {{"fluentd-address", "unix:///s"}}}).target.transport,
            LogTarget::Transport::UnixStream);
  EXPECT_FALSE(parse_log_driver({.type = "json-file"}).value().has_value());
}

TEST(LogDrivers, RefuseWhatTheyDoNotKnow) {
  for (const spec::LogConfig& config :
       {spec::LogConfig{.type = "nope"},
        spec::LogConfig{.type = "syslog", .config = {{"nope", "1"}}},
        spec::LogConfig{.type = "syslog", .config = {{"syslog-address", "tcp://x:y"}}},
        spec::LogConfig{.type = "syslog", .config = {{"syslog-address", "tcp+tls://x"}}},
        spec::LogConfig{.type = "syslog", .config = {{"syslog-facility", "24"}}},
        spec::LogConfig{.type = "syslog", .config = {{"syslog-format", "x"}}},
        spec::LogConfig{.type = "gelf", .config = {{"gelf-address", "unix:///x"}}},
        spec::LogConfig{.type = "gelf",
        .config = {{"gelf-address", "tcp://x"}, {"gelf-compression-type", "gzip"}}},
        spec::LogConfig{.type = "gelf",
        .config = {{"gelf-address", "udp://x"}, {"gelf-compression-type", "brotli"}}},
        spec::LogConfig{.type = "gelf",
        .config = {{"gelf-address", "udp://x"}, {"gelf-compression-level", "10"}}},
        spec::LogConfig{.type = "gelf",
        .config = {{"gelf-address", "udp://x"}, {"gelf-tcp-max-reconnect", "3"}}},
        spec::LogConfig{.type = "gelf",
        .config = {{"gelf-address", "tcp://x"}, {"gelf-tcp-max-reconnect", "-1"}}},
        spec::LogConfig{.type = "splunk", .config = {{"splunk-token", "t"}}},
        spec::LogConfig{.type = "splunk", .config = {{"splunk-url", "https://x:8088"}}},
        spec::LogConfig{.type = "splunk", .config = {{"splunk-url", "x:8088"}, {"splunk-token", "t"}}},
        spec::LogConfig{.type = "splunk",
        .config = {{"splunk-url", "https://x/path"}, {"splunk-token", "t"}}},
        spec::LogConfig{.type = "splunk",
        .config = {{"splunk-url", "https://x"}, {"splunk-token", "t\r\nX: y"}}},
        spec::LogConfig{.type = "splunk",
        .config = {{"splunk-url", "https://x"}, {"splunk-token", "t"}, {"splunk-format", "xml"}}},
        spec::LogConfig{.type = "splunk",
        .config = {{"splunk-url", "https://x"}, {"splunk-token", "t"}, {"splunk-gzip-level", "11"}}},
        spec::LogConfig{.type = "splunk",
        .config = {{"splunk-url", "https://x"}, {"splunk-token", "t"}, {"splunk-caname", "a/b"}}},
        spec::LogConfig{.type = "json-file", .config = {{"labels-regex", "["}}},
        spec::LogConfig{.type = "journald", .config = {{"env-regex", "(?=x)"}}},
        spec::LogConfig{.type = "local", .config = {{"env-regex", "x"}}},
        spec::LogConfig{.type = "json-file", .config = {{"mode", "x"}}}}) {
    EXPECT_EQ(parse_log_driver(config).error().kind(), Kind::InvalidArgument) << config.type;
  }
}

TEST(LogDrivers, WriteSyslog) {
  auto old_form = remote({.type = "syslog", .config = {{"syslog-address", "udp://x"}}});
  std::string text = log_messages(old_form, origin(), line).at(0);
  EXPECT_TRUE(text.starts_with("<27>Jan  2 03:04:05 host my_tag[")) << text;
  EXPECT_TRUE(text.ends_with("]: hello")) << text;
  auto new_form = remote(
      {.type = "syslog", .config = {{"syslog-address", "tcp://x"}, {"syslog-format", "rfc5424micro"}}});
  text = log_messages(new_form, origin(), line).at(0);
  EXPECT_TRUE(text.starts_with("<27>1 2026-01-02T03:04:05.123456Z host my_tag ")) << text;
  EXPECT_TRUE(text.ends_with(" my_tag - hello\n")) << text;
}

TEST(LogDrivers, WriteJournaldFields) {
  std::string text = log_messages(remote({.type = "journald"}), origin(), line).at(0);
  EXPECT_TRUE(text.starts_with("MESSAGE=hello\nPRIORITY=3\nCONTAINER_ID=aaaaaaaaaaaa\n")) << text;
  EXPECT_NE(text.find("PART=x\n"), std::string::npos);
  EXPECT_NE(text.find("\nODD=y\n"), std::string::npos);  // a leading '_' is journald's own
  LogLine two = line;
  two.text = "a\nb";
  text = log_messages(remote({.type = "journald"}), origin(), two).at(0);
  EXPECT_TRUE(text.starts_with(std::string("MESSAGE\n\3\0\0\0\0\0\0\0a\nb\n", 20))) << text;
}

TEST(LogDrivers, LeaveTheUnderscoreOfGelfFieldsThatHaveOne) {
  auto gelf = remote({.type = "gelf", .config = {{"gelf-address", "tcp://x"}}});
  std::string text = log_messages(gelf, origin(), line).at(0);
  text.pop_back();
  Json message = parse_json(text).value();
  EXPECT_EQ(message["_part"], "x");
  EXPECT_EQ(message["_odd"], "y");
}

TEST(LogDrivers, CutLongGelfMessages) {
  auto gelf =
      remote({.type = "gelf", .config = {{"gelf-address", "udp://x"}, {"gelf-compression-type", "none"}}});
  EXPECT_EQ(log_messages(gelf, origin(), line).size(), 1u);
  std::string text(16384, 'x');
  LogLine long_line = line;
  long_line.text = text;
  auto pieces = log_messages(gelf, origin(), long_line);
  ASSERT_EQ(pieces.size(), 3u);
  for (size_t i = 0; i < pieces.size(); ++i) {
    EXPECT_LE(pieces[i].size(), 8192u);
    EXPECT_EQ(pieces[i].substr(0, 10), pieces[0].substr(0, 10));
    EXPECT_EQ(pieces[i].substr(10, 2), (std::string{static_cast<char>(i), 3}));
  }
}

TEST(LogDrivers, CompressGelfDatagrams) {
  auto first_two = [](const RemoteLog& remote) {
    return log_messages(remote, origin(), line).at(0).substr(0, 2);
  };
  auto gelf = [](const char* type) {
    return remote({.type = "gelf", .config = {{"gelf-address", "udp://x"}, {"gelf-compression-type", type}}});
  };
  EXPECT_EQ(first_two(remote({.type = "gelf", .config = {{"gelf-address", "udp://x"}}})), "\x1f\x8b");
  EXPECT_EQ(first_two(gelf("gzip")), "\x1f\x8b");
  EXPECT_EQ(first_two(gelf("zlib")).front(), '\x78');
  EXPECT_EQ(first_two(gelf("none")).front(), '{');
  EXPECT_EQ(first_two(remote({.type = "gelf", .config = {{"gelf-address", "tcp://x"}}})).front(), '{');
}

TEST(LogDrivers, WriteSplunkEvents) {
  auto splunk = [](const char* format, std::string_view text) {
    LogLine one = line;
    one.text = text;
    auto messages = log_messages(remote({.type = "splunk",
                                         .config = {{"splunk-url", "https://there:8088"},
                                                    {"splunk-token", "secret"},
                                                    {"splunk-index", "main"},
                                                    {"splunk-format", format}}}),
                                 origin(), one);
    return messages.empty() ? Json() : parse_json(messages.at(0)).value();
  };
  Json event = splunk("inline", "hello");
  EXPECT_EQ(event["time"], "1767323045.123456");
  EXPECT_EQ(event["host"], "host");
  EXPECT_EQ(event["index"], "main");
  EXPECT_EQ(event["event"]["line"], "hello");
  EXPECT_EQ(event["event"]["source"], "stderr");
  EXPECT_EQ(event["event"]["tag"], "my tag");
  EXPECT_EQ(event["event"]["attrs"]["part"], "x");
  EXPECT_EQ(splunk("json", R"({"a":1})")["event"]["line"]["a"], 1);
  EXPECT_EQ(splunk("json", "{nothing")["event"]["line"], "{nothing");
  EXPECT_TRUE(splunk("raw", "hello")["event"].get<std::string>().ends_with(" hello"));
  EXPECT_TRUE(splunk("raw", "hello")["event"].get<std::string>().starts_with("my tag "));
  EXPECT_TRUE(splunk("inline", " \t").is_null()) << "the collector refuses empty events";
  EXPECT_EQ(
      remote({.type = "splunk", .config = {{"splunk-url", "https://there:8088/"}, {"splunk-token", "t"}}})
          .splunk.url,
      "https://there:8088/services/collector/event/1.0");
}

TEST(LogDrivers, AskForTheCertificateOfAnotherName) {
  auto splunk = [](const char* url, const char* name) {
    return remote(
               {.type = "splunk",
                .config = {{"splunk-url", url}, {"splunk-token", "t"}, {"splunk-caname", name}, {"tag", ""}}})
        .splunk;
  };
  SplunkCollector named = splunk("https://10.0.0.1:8088/", "logs.example.com");
  EXPECT_EQ(named.url, "https://logs.example.com:8088/services/collector/event/1.0");
  EXPECT_EQ(named.route, "::10.0.0.1:8088");
  EXPECT_EQ(named.host, "10.0.0.1:8088");
  named = splunk("https://[::1]", "fe00::2");
  EXPECT_EQ(named.url, "https://[fe00::2]/services/collector/event/1.0");
  EXPECT_EQ(named.route, "::[::1]:");
  EXPECT_EQ(splunk("http://10.0.0.1:8088", "logs.example.com").route, "") << "without TLS there is none";
}

TEST(LogDrivers, SendWhatLabelsAndVariablesAreNamedOrMatch) {
  ContainerRecord record{.id = std::string(64, 'b'),
                         .name = "web",
                         .image_id = Digest::parse("sha256:" + std::string(64, 'c')).value()};
  record.config.labels = {{"app.part", "x"}, {"app.side", "y"}, {"other", "z"}};
  record.config.env = {"WEB_PORT=1", "WEB_HOST=a=b", "PATH=/bin", "BARE"};
  auto attributes = [&](std::map<std::string, std::string> options) {
    record.host_config.log_config = {.type = "json-file", .config = std::move(options)};
    return log_attributes(record);
  };
  using Pairs = std::map<std::string, std::string>;
  EXPECT_EQ(attributes({}), Pairs());
  EXPECT_EQ(attributes({{"labels", "other,none,,app.part"}, {"env", "PATH,BARE"}}),
            (Pairs{{"app.part", "x"}, {"other", "z"}, {"PATH", "/bin"}}));
  EXPECT_EQ(attributes({{"labels-regex", "^app\\."}, {"env-regex", "(?i)^web_"}}),
            (Pairs{{"WEB_HOST", "a=b"}, {"WEB_PORT", "1"}, {"app.part", "x"}, {"app.side", "y"}}));
}

TEST(LogDrivers, FillTags) {
  ContainerRecord record{.id = std::string(64, 'b'),
                         .name = "web",
                         .image_id = Digest::parse("sha256:" + std::string(64, 'c')).value()};
  record.config.image = "app";
  auto tagged = remote({.type = "journald", .config = {{"tag", "{{.ImageName}}/{{.Name}}/{{.ID}}"}}});
  EXPECT_EQ(log_origin(record, tagged, "h").tag, "app/web/bbbbbbbbbbbb");
  EXPECT_EQ(log_origin(record, remote({.type = "journald"}), "h").tag, "bbbbbbbbbbbb");
  spec::LogConfig untagged{.type = "splunk",
                           .config = {{"splunk-url", "http://x"}, {"splunk-token", "t"}, {"tag", ""}}};
  EXPECT_EQ(log_origin(record, remote(untagged), "h").tag, "");
}

}  // namespace
}  // namespace berth::engine
