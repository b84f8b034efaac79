// Tests of routing: versions, patterns, and that the table serves what clients ask for.
#include "api/docker/router.h"

#include <gtest/gtest.h>

#include "api/docker/system_json.h"

namespace berth::api {
namespace {

using Captures = std::vector<std::string>;

TEST(Router, SplitsTheVersion) {
  auto path = split_version("/v1.43/containers/json");
  EXPECT_EQ(path.version, (ApiVersion{1, 43}));
  EXPECT_TRUE(path.explicit_version);
  EXPECT_EQ(path.path, "/containers/json");
  EXPECT_EQ(split_version("/containers/json").version, newest_version);
  // Compared as numbers: 1.5 is older than 1.24.
  EXPECT_LT(split_version("/v1.5/info").version, oldest_version);
  EXPECT_GT(split_version("/v1.100/info").version, newest_version);
  for (const char* other : {"/volumes", "/v1.43", "/v1./info", "/v.43/info", "/v1.43x/info", "/v-1.43/info",
                            "/v99999999999.1/info", "/version"}) {
    EXPECT_FALSE(split_version(other).explicit_version) << other;
    EXPECT_EQ(split_version(other).path, other);
  }
}

TEST(Router, MatchesPatterns) {
  EXPECT_EQ(match_pattern("/containers/{id}/json", "/containers/web/json"), Captures{"web"});
  EXPECT_FALSE(match_pattern("/containers/{id}/json", "/containers//json"));
  EXPECT_FALSE(match_pattern("/containers/{id}/json", "/containers/a/b/json"));
  EXPECT_FALSE(match_pattern("/containers/{id}/json", "/containers/web/json/more"));
  EXPECT_FALSE(match_pattern("/containers/{id}", "/containers"));
  EXPECT_EQ(match_pattern("/images/{name*}/json", "/images/host:5000/a/b:1/json"),
            Captures{"host:5000/a/b:1"});
  EXPECT_FALSE(match_pattern("/images/{name*}/json", "/images/json"));
  EXPECT_FALSE(match_pattern("/images/{name*}/json", "/images//json"));
}

TEST(Router, FindsWhatClientsAskFor) {
  for (auto [method, path] :
       std::initializer_list<std::pair<const char*, const char*>>{{"HEAD", "/_ping"},
                                                                  {"GET", "/_ping"},
                                                                  {"GET", "/networks/"},
                                                                  {"GET", "/images/get"},
                                                                  {"GET", "/images/a/b/get"},
                                                                  {"DELETE", "/images/a/b:c"},
                                                                  {"POST", "/containers/x/attach"},
                                                                  {"HEAD", "/containers/x/archive"},
                                                                  {"DELETE", "/containers/web/db"},
                                                                  {"POST", "/exec/x/start"},
                                                                  {"GET", "/distribution/a/b/json"},
                                                                  {"POST", "/build"},
                                                                  {"GET", "/swarm"},
                                                                  {"GET", "/plugins"}}) {
    EXPECT_NE(find_route(method, path).handler, nullptr) << method << ' ' << path;
  }
  EXPECT_EQ(find_route("PATCH", "/containers/json").handler, nullptr);
  EXPECT_EQ(find_route("GET", "/containers/x/start").handler, nullptr);
  EXPECT_EQ(find_route("GET", "/").handler, nullptr);
  EXPECT_EQ(find_route("GET", "").handler, nullptr);
}

}  // namespace
}  // namespace berth::api
