// Tests of what is pure in the registry's server: names, paths, ranges, pages, manifests, tokens, passwords.
#include <gtest/gtest.h>

#include "registry/server/auth.h"
#include "registry/server/manifest_check.h"
#include "registry/server/names.h"
#include "registry/server/route.h"

namespace berth::registry::server {
namespace {

using Kind = Route::Kind;

TEST(RepositoryName, FollowsTheGrammar) {
  for (const char* good : {"a", "library/busybox", "a0/b1/c2", "a.b", "a_b", "a__b", "a-b", "a---b", "0"}) {
    EXPECT_TRUE(is_repository_name(good)) << good;
  }
  for (const char* bad : {"", "/", "a/", "/a", "a//b", "A", "a..b", "a___b", "a._b", ".a", "a.", "-a", "a b",
                          "a/../b", "a\n", "\xc3\xa9"}) {
    EXPECT_FALSE(is_repository_name(bad)) << bad;
  }
  EXPECT_TRUE(is_repository_name(std::string(255, 'a')));
  EXPECT_FALSE(is_repository_name(std::string(256, 'a')));
}

TEST(ContentDigest, IsStrict) {
  std::string hex64(64, 'a'), hex128(128, '0');
  EXPECT_EQ(ContentDigest::parse("sha256:" + hex64)->str(), "sha256:" + hex64);
  EXPECT_EQ(ContentDigest::parse("sha512:" + hex128)->algorithm(), ContentDigest::Algorithm::Sha512);
  // CVE-2024-3727: nothing that is not exactly hex may reach a path.
  for (const std::string& bad : std::vector<std::string>{
           "sha256:", "sha256:../../../../etc/passwd", "sha256:" + std::string(64, 'A'),
           "sha256:" + hex64.substr(1), "sha256:" + hex64 + "0", "sha256:" + hex128, "sha512:" + hex64,
           "md5:" + std::string(32, 'a'), "SHA256:" + hex64, hex64, "sha256:" + hex64.substr(2) + "/."}) {
    EXPECT_FALSE(ContentDigest::parse(bad)) << bad;
  }
  EXPECT_EQ(digest_of(ContentDigest::Algorithm::Sha256, "").str(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(Route, EndOfThePathDecides) {
  EXPECT_EQ(parse_route("/v2/").kind, Kind::Root);
  EXPECT_EQ(parse_route("/v2").kind, Kind::Root);
  EXPECT_EQ(parse_route("/v2/_catalog").kind, Kind::Catalog);
  auto check = [](const char* path, Kind kind, const char* name, const char* reference) {
    Route route = parse_route(path);
    EXPECT_EQ(route.kind, kind) << path;
    EXPECT_EQ(route.name, name) << path;
    EXPECT_EQ(route.reference, reference) << path;
  };
  check("/v2/a/b/manifests/latest", Kind::Manifest, "a/b", "latest");
  check("/v2/a/tags/list", Kind::Tags, "a", "");
  check("/v2/tags/list/tags/list", Kind::Tags, "tags/list", "");
  check("/v2/a/blobs/sha256:x", Kind::Blob, "a", "sha256:x");
  check("/v2/a/blobs/uploads/", Kind::StartUpload, "a", "");
  check("/v2/a/blobs/uploads", Kind::StartUpload, "a", "");
  check("/v2/a/blobs/uploads/1f", Kind::Upload, "a", "1f");
  check("/v2/x/blobs/uploads/manifests/y", Kind::Manifest, "x/blobs/uploads", "y");
  check("/v2/a/referrers/sha256:x", Kind::Referrers, "a", "sha256:x");
  for (const char* unknown :
       {"", "/", "/v1/a", "/v2/a", "/v2/a/b", "/v2/uploads/x", "/v3/a/tags/list", "v2/a/tags/list"}) {
    EXPECT_EQ(parse_route(unknown).kind, Kind::Unknown) << unknown;
  }
}

TEST(ContentRange, FirstAndLast) {
  EXPECT_EQ(parse_content_range("0-9").value(), (ByteRange{0, 9}));
  EXPECT_EQ(parse_content_range("5-5")->length(), 1u);
  EXPECT_EQ(parse_content_range("bytes 3-4/10").value(), (ByteRange{3, 4}));
  for (const char* bad : {"", "-", "1-", "-1", "9-0", "a-b", "0-9-", "0 - 9", "0-18446744073709551615",
                          "0-99999999999999999999", "+1-2"}) {
    EXPECT_FALSE(parse_content_range(bad)) << bad;
  }
}

TEST(Range, IsChosen) {
  auto part = [](const char* header, uint64_t size) { return choose_range(header, size); };
  EXPECT_EQ(part("bytes=0-3", 10).range, (ByteRange{0, 3}));
  EXPECT_EQ(part("bytes=4-", 10).range, (ByteRange{4, 9}));
  EXPECT_EQ(part("bytes=-3", 10).range, (ByteRange{7, 9}));
  EXPECT_EQ(part("bytes=-30", 10).range, (ByteRange{0, 9}));
  EXPECT_EQ(part("bytes=8-99", 10).range, (ByteRange{8, 9}));
  EXPECT_EQ(part("bytes=10-", 10).kind, RangeAnswer::Kind::Unsatisfiable);
  EXPECT_EQ(part("bytes=-0", 10).kind, RangeAnswer::Kind::Unsatisfiable);
  EXPECT_EQ(part("bytes=0-", 0).kind, RangeAnswer::Kind::Unsatisfiable);
  for (const char* whole : {"", "items=0-1", "bytes=", "bytes=x-y", "bytes=5-2", "bytes=0-1,3-4"}) {
    EXPECT_EQ(part(whole, 10).kind, RangeAnswer::Kind::Whole) << whole;
  }
  EXPECT_EQ(choose_range(std::nullopt, 10).kind, RangeAnswer::Kind::Whole);
}

TEST(PageSize, IsBounded) {  // CVE-2023-2253
  EXPECT_EQ(parse_page_size(std::nullopt, 7, 100).value(), 7u);
  EXPECT_EQ(parse_page_size("0", 7, 100).value(), 0u);
  for (const char* bad : {"-1", "101", "1000000000000", "99999999999999999999999", "x", ""}) {
    EXPECT_FALSE(parse_page_size(bad, 7, 100)) << bad;
  }
}

constexpr const char* config =
    R"({"mediaType":"application/vnd.oci.image.config.v1+json","size":2,"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"})";

TEST(Manifest, LinksAreFound) {
  std::string text = std::string(R"({"schemaVersion":2,"config":)") + config + R"(,"layers":[)" + config +
                     R"(],"subject":)" + config + R"(,"annotations":{"a":"b"}})";
  auto manifest = check_manifest(text, "application/vnd.oci.image.manifest.v1+json").value();
  EXPECT_EQ(manifest.links.size(), 2u);
  EXPECT_TRUE(manifest.subject);
  EXPECT_EQ(manifest.artifact_type, "application/vnd.oci.image.config.v1+json");
  EXPECT_EQ(manifest.annotations, R"({"a":"b"})");
}

TEST(Manifest, ConfusionIsRefused) {  // CVE-2021-41190
  std::string both = std::string(R"({"schemaVersion":2,"manifests":[],"layers":[],"config":)") + config + "}";
  for (const char* type :
       {"application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json", ""}) {
    EXPECT_FALSE(check_manifest(both, type)) << type;
  }
  std::string index =
      R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]})";
  EXPECT_TRUE(check_manifest(index, "application/vnd.oci.image.index.v1+json"));
  EXPECT_TRUE(check_manifest(index, ""));
  EXPECT_FALSE(check_manifest(index, "application/vnd.oci.image.manifest.v1+json"));
}

TEST(Manifest, HostileDocuments) {
  for (
      const char* bad :
      {"", "[]", "null", "{", R"({"schemaVersion":2})", R"({"schemaVersion":1,"fsLayers":[]})",
       R"({"schemaVersion":2,"config":{"digest":"sha256:../x","size":1},"layers":[]})",
       R"({"schemaVersion":2,"config":{"digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":-1},"layers":[]})",
       R"({"schemaVersion":2,"config":7,"layers":[]})", R"({"schemaVersion":2,"config":{},"layers":{}})"}) {
    EXPECT_FALSE(check_manifest(bad, "application/vnd.oci.image.manifest.v1+json")) << bad;
  }
  EXPECT_FALSE(check_manifest(std::string(R"({"a":")") + std::string(max_manifest_bytes, 'x') + "\"}", ""));
}

TEST(Htpasswd, OnlyBcrypt) {
  EXPECT_FALSE(Htpasswd::parse("user:secret"));
  EXPECT_FALSE(Htpasswd::parse("user:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g="));
  EXPECT_FALSE(Htpasswd::parse("user:$apr1$x$y"));
  EXPECT_FALSE(Htpasswd::parse(""));
  // bcrypt of "password", cost 5.
  auto users =
      Htpasswd::parse("# users\r\nann:$2a$05$bvIG6Nmid91Mu9RcmmWZfO5HJIMCT8riNW0hEp8f6/FuA2/mHZFpe\n")
          .value();
  EXPECT_TRUE(users->verify({"ann", "password"}));
  EXPECT_TRUE(users->verify({"ann", "password"}));  // remembered
  EXPECT_FALSE(users->verify({"ann", "Password"}));
  EXPECT_FALSE(users->verify({"bob", "password"}));
}

TEST(Basic, IsParsed) {
  EXPECT_EQ(parse_basic("Basic dTpwOnE=")->password, "p:q");
  EXPECT_EQ(parse_basic("basic dTpwOnE=")->user, "u");
  for (const char* bad : {"", "Basic", "Basic ", "Basic !!", "Basic dQ==", "Bearer dTpw"})
    EXPECT_FALSE(parse_basic(bad)) << bad;
}

TEST(Token, IsVerified) {
  std::string secret(32, 's');
  auto authority = TokenAuthority::create(secret, "registry", "issuer").value();
  auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));
  Token given{.subject = "ann", .access = {*parse_scope("repository:a/b:pull,push")}};
  std::string text = authority->issue(given, now, std::chrono::seconds(300));
  Token token = authority->verify(text, now).value();
  EXPECT_EQ(token.subject, "ann");
  EXPECT_TRUE(token.allows("repository", "a/b", "push"));
  EXPECT_FALSE(token.allows("repository", "a/b", "delete"));
  EXPECT_FALSE(token.allows("repository", "a", "pull"));
  EXPECT_FALSE(authority->verify(text, now + std::chrono::seconds(400)));
  EXPECT_FALSE(authority->verify(text, now - std::chrono::seconds(400)));
  EXPECT_FALSE(authority->verify(text + "x", now));
  EXPECT_FALSE(TokenAuthority::create(std::string(32, 't'), "registry", "issuer").value()->verify(text, now));
  EXPECT_FALSE(TokenAuthority::create(secret, "other", "issuer").value()->verify(text, now));
  EXPECT_FALSE(TokenAuthority::create(secret, "registry", "other").value()->verify(text, now));
  // An unsigned token, and one whose header names another algorithm.
  std::string claims = text.substr(text.find('.'), text.rfind('.') - text.find('.'));
  EXPECT_FALSE(authority->verify("eyJhbGciOiJub25lIn0" + claims + ".", now));
  EXPECT_FALSE(TokenAuthority::create("short", "registry", ""));
}

TEST(Scope, IsParsed) {
  auto scope = parse_scope("repository:localhost:5000/a:pull").value();
  EXPECT_EQ(scope.type, "repository");
  EXPECT_EQ(scope.name, "localhost:5000/a");
  EXPECT_TRUE(scope.allows("pull"));
  EXPECT_FALSE(parse_scope("x"));
  EXPECT_FALSE(parse_scope("a:b"));
}

}  // namespace
}  // namespace berth::registry::server
