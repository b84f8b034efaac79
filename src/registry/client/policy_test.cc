// Tests of whom berth speaks to, and who is trusted with what.
#include <gtest/gtest.h>

#include "registry/client/realm_policy.h"
#include "registry/client/settings.h"

namespace berth::registry {
namespace {

std::vector<std::string> addresses(const Settings& settings, const std::string& domain) {
  std::vector<std::string> all;
  for (const Endpoint& endpoint : endpoints_of(settings, domain))
    all.push_back((endpoint.mirror ? "mirror " : "") + endpoint.base.str());
  return all;
}

using Addresses = std::vector<std::string>;

TEST(Endpoints, OfTheHubOthersAndLoopback) {
  EXPECT_EQ(addresses({}, "docker.io"), Addresses{"https://registry-1.docker.io/"});
  EXPECT_EQ(addresses({}, "ghcr.io"), Addresses{"https://ghcr.io/"});
  EXPECT_EQ(addresses({}, "localhost:5000"),
            (Addresses{"https://localhost:5000/", "http://localhost:5000/"}));
  EXPECT_EQ(addresses({}, "127.1.2.3"), (Addresses{"https://127.1.2.3/", "http://127.1.2.3/"}));
  EXPECT_EQ(addresses({}, "localhost.evil.example"), Addresses{"https://localhost.evil.example/"});
}

TEST(Endpoints, MirrorsAndInsecureRegistries) {
  Settings settings{.insecure = {"reg.lan:5000", "10.1.0.0/16"},
                    .mirrors = {parse_mirror("https://mirror.lan/hub").value(),
                                parse_mirror("ghcr.io=http://cache.lan:81").value()}};
  EXPECT_EQ(addresses(settings, "docker.io"),
            (Addresses{"mirror https://mirror.lan/hub/", "https://registry-1.docker.io/"}));
  EXPECT_EQ(addresses(settings, "ghcr.io"), (Addresses{"mirror http://cache.lan:81/", "https://ghcr.io/"}));
  EXPECT_EQ(addresses(settings, "reg.lan:5000"),
            (Addresses{"https://reg.lan:5000/", "http://reg.lan:5000/"}));
  EXPECT_EQ(addresses(settings, "10.1.2.3"), (Addresses{"https://10.1.2.3/", "http://10.1.2.3/"}));
  EXPECT_EQ(addresses(settings, "10.2.2.3"), Addresses{"https://10.2.2.3/"});
  for (const char* bad : {"mirror", "ftp://x", "https://x/?q", "docker.io=", "https://u@x"})
    EXPECT_FALSE(parse_mirror(bad)) << bad;
  for (const char* bad : {"http://x", "x/y", "10.0.0.0/99", "", "a b"})
    EXPECT_FALSE(check_insecure(bad)) << bad;
}

RealmTrust judge(const char* registry, const char* realm, const Settings& settings = {}) {
  return judge_realm(settings, Url::parse(registry).value(), Url::parse(realm).value());
}

TEST(Realm, CredentialsGoToTheRegistryItsSiteAndWhoIsNamed) {
  EXPECT_EQ(judge("https://registry-1.docker.io/", "https://auth.docker.io/token"), RealmTrust::Credentials);
  EXPECT_EQ(judge("https://ghcr.io/", "https://ghcr.io/token"), RealmTrust::Credentials);
  EXPECT_EQ(judge("https://registry.gitlab.com/", "https://gitlab.com/jwt/auth"), RealmTrust::Credentials);
  EXPECT_EQ(judge("http://127.0.0.1:5000/", "http://127.0.0.1:5000/auth"), RealmTrust::Credentials);
  EXPECT_EQ(
      judge("http://127.0.0.1:5000/", "http://127.0.0.1:5001/auth", {.token_servers = {"127.0.0.1:5001"}}),
      RealmTrust::Credentials);
}

TEST(Realm, LookalikesOtherPortsAndPlainHttpGetNone) {
  for (const char* realm : {"https://auth.docker.io.evil.example/token", "https://evil-docker.io/token",
                            "https://docker.io:8443/token", "https://xdocker.io/token",
                            "https://evil.example/docker.io", "https://1.2.3.4/token"}) {
    EXPECT_EQ(judge("https://registry-1.docker.io/", realm), RealmTrust::Anonymous) << realm;
  }
  EXPECT_EQ(judge("https://registry-1.docker.io/", "http://auth.docker.io/token"), RealmTrust::Refused);
  EXPECT_EQ(judge("http://127.0.0.1:5000/", "http://127.0.0.1:5001/auth"), RealmTrust::Anonymous);
  EXPECT_EQ(judge("https://reg.victim.co.uk/", "https://evil.co.uk/"), RealmTrust::Anonymous);
  EXPECT_EQ(judge("https://victim.github.io/", "https://evil.github.io/"), RealmTrust::Anonymous);
  EXPECT_EQ(judge("https://mine.azurecr.io/", "https://evil.azurecr.io/"), RealmTrust::Anonymous);
  EXPECT_EQ(judge("https://10.0.0.1/", "https://20.0.0.1/"), RealmTrust::Anonymous);
}

TEST(Addresses, ThatLeadInside) {
  for (const char* inner :
       {"127.0.0.1", "10.1.1.1", "172.16.0.1", "172.31.255.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0", "::1", "fe80::1", "fd00::1", "::ffff:10.0.0.1"})
    EXPECT_TRUE(is_inner_address(sys::IpAddress::parse(inner).value())) << inner;
  for (const char* outer : {"1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111"})
    EXPECT_FALSE(is_inner_address(sys::IpAddress::parse(outer).value())) << outer;
}

}  // namespace
}  // namespace berth::registry
