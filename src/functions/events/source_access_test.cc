// What librdkafka is told, for each way to authenticate, and what is refused.
#include "functions/events/source_access.h"

#include <gtest/gtest.h>

namespace berth::functions::events {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

EventSourceMapping mapping(std::vector<std::pair<std::string, std::string>> access,
                           std::string server = "127.0.0.1:9092") {
  EventSourceMapping made;
  made.bootstrap_servers = {std::move(server)};
  made.source_access = std::move(access);
  return made;
}

Result<std::optional<std::string>> read(const std::string& id) {
  if (id == "login") return std::optional<std::string>(R"({"username":"u","password":"p"})");
  if (id == "ca") return std::optional<std::string>(R"({"certificate":"PEM"})");
  if (id == "client") return std::optional<std::string>(R"({"certificate":"C","privateKey":"K"})");
  if (id == "text") return std::optional<std::string>("p");
  if (id == "half") return std::optional<std::string>(R"({"username":"u"})");
  return std::optional<std::string>();
}

TEST(SourceAccess, NoneIsPlain) {
  EXPECT_EQ(*kafka_access(mapping({}), read), Settings());
  EXPECT_EQ(*kafka_access(mapping({{"VPC_SUBNET", "subnet"}}), read), Settings());
}

TEST(SourceAccess, PasswordsGoOverTlsButToLoopback) {
  Settings login{{"sasl.mechanism", "PLAIN"}, {"sasl.username", "u"}, {"sasl.password", "p"}};
  for (auto [server, protocol] : {std::pair{"127.0.0.1:9092", "SASL_PLAINTEXT"},
                                  {"localhost:9092", "SASL_PLAINTEXT"},
                                  {"[::1]:9092", "SASL_PLAINTEXT"},
                                  {"127.evil.example:9092", "SASL_SSL"},
                                  {"broker:9092", "SASL_SSL"}}) {
    Settings expected = login;
    expected.emplace_back("security.protocol", protocol);
    EXPECT_EQ(*kafka_access(mapping({{"BASIC_AUTH", "login"}}, server), read), expected) << server;
  }
  auto certified =
      kafka_access(mapping({{"BASIC_AUTH", "login"}, {"SERVER_ROOT_CA_CERTIFICATE", "ca"}}), read);
  EXPECT_EQ(certified->back().second, "SASL_SSL");
}

TEST(SourceAccess, MechanismsAndCertificates) {
  EXPECT_EQ(kafka_access(mapping({{"SASL_SCRAM_512_AUTH", "login"}}), read)->front().second, "SCRAM-SHA-512");
  EXPECT_EQ(kafka_access(mapping({{"SASL_SCRAM_256_AUTH", "login"}}), read)->front().second, "SCRAM-SHA-256");
  Settings expected{{"ssl.certificate.pem", "C"}, {"ssl.key.pem", "K"}, {"security.protocol", "SSL"}};
  EXPECT_EQ(*kafka_access(mapping({{"CLIENT_CERTIFICATE_TLS_AUTH", "client"}}), read), expected);
}

TEST(SourceAccess, WhatIsMissingIsNamedWithoutTheSecret) {
  for (auto [type, uri, words] : {std::tuple{"BASIC_AUTH", "none", "there is no secret none"},
                                  {"BASIC_AUTH", "text", "is not a JSON object"},
                                  {"BASIC_AUTH", "half", "has no \"password\""},
                                  {"VIRTUAL_HOST", "login", "does not know this way"}}) {
    auto access = kafka_access(mapping({{type, uri}}), read);
    ASSERT_FALSE(access) << uri;
    EXPECT_NE(access.error().message().find(words), std::string::npos) << access.error().message();
  }
  EXPECT_FALSE(kafka_access(mapping({{"BASIC_AUTH", "login"}, {"SASL_SCRAM_512_AUTH", "login"}}), read));
}

}  // namespace
}  // namespace berth::functions::events
