#include "functions/events/source_access.h"

#include <algorithm>

#include "base/format.h"
#include "base/json.h"

namespace berth::functions::events {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

bool is_loopback(std::string_view server) {
  size_t colon = server.rfind(':');
  std::string_view host = server.substr(0, colon);
  return host == "localhost" || host == "[::1]" ||
         (host.starts_with("127.") && host.find_first_not_of("0123456789.") == host.npos);
}

std::string_view mechanism_of(std::string_view type) {
  if (type == "BASIC_AUTH") return "PLAIN";
  if (type == "SASL_SCRAM_256_AUTH") return "SCRAM-SHA-256";
  if (type == "SASL_SCRAM_512_AUTH") return "SCRAM-SHA-512";
  return {};
}

/// Of a member that must be there.
Result<std::string> text_of(const Json& secret, const std::string& type, const std::string& uri,
                            const char* member) {
  auto text = json_string(secret, member);
  if (text && !text->empty()) return text;
  return failure(Kind::InvalidArgument, "{}: the secret {} has no \"{}\"", type, uri, member);
}

}  // namespace

Result<std::vector<std::pair<std::string, std::string>>> kafka_access(const EventSourceMapping& mapping,
                                                                      const ReadSecret& read) {
  Settings settings;
  bool named = false, certified = false;
  for (const auto& [type, uri] : mapping.source_access) {
    if (type.starts_with("VPC_")) continue;
    std::string_view mechanism = mechanism_of(type);
    bool server = type == "SERVER_ROOT_CA_CERTIFICATE", client = type == "CLIENT_CERTIFICATE_TLS_AUTH";
    if (mechanism.empty() && !server && !client)
      return failure(Kind::Unsupported, "{}: berth does not know this way to authenticate to Kafka", type);
    TRY(auto text, read(uri));
    if (!text) {
      return failure(Kind::NotFound,
                     "{}: there is no secret {}: make it (\"aws secretsmanager create-secret\") and update "
                     "the mapping",
                     type, uri);
    }
    auto secret = parse_json(*text);
    if (!secret || !secret->is_object())
      return failure(Kind::InvalidArgument, "{}: the secret {} is not a JSON object", type, uri);
    if (server) {
      TRY(std::string certificate, text_of(*secret, type, uri, "certificate"));
      settings.emplace_back("ssl.ca.pem", std::move(certificate));
      certified = true;
    } else if (client) {
      TRY(std::string certificate, text_of(*secret, type, uri, "certificate"));
      TRY(std::string key, text_of(*secret, type, uri, "privateKey"));
      settings.emplace_back("ssl.certificate.pem", std::move(certificate));
      settings.emplace_back("ssl.key.pem", std::move(key));
      auto password = json_string(*secret, "privateKeyPassword");
      if (password && !password->empty()) settings.emplace_back("ssl.key.password", std::move(*password));
      certified = true;
    } else {
      if (named)
        return failure(Kind::InvalidArgument, "{}: there is another way to authenticate already", type);
      TRY(std::string name, text_of(*secret, type, uri, "username"));
      TRY(std::string password, text_of(*secret, type, uri, "password"));
      settings.emplace_back("sasl.mechanism", std::string(mechanism));
      settings.emplace_back("sasl.username", std::move(name));
      settings.emplace_back("sasl.password", std::move(password));
      named = true;
    }
  }
  const auto& servers = mapping.bootstrap_servers;
  bool local = std::all_of(servers.begin(), servers.end(), is_loopback);
  bool encrypted = certified || (named && !local);
  if (named || certified) {
    std::string protocol = named ? (encrypted ? "SASL_SSL" : "SASL_PLAINTEXT") : "SSL";
    settings.emplace_back("security.protocol", std::move(protocol));
  }
  return settings;
}

}  // namespace berth::functions::events
