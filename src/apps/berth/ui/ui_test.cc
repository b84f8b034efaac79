// Who gets in, and what is passed on.
#include <gtest/gtest.h>

#include "apps/berth/ui/assets.h"
#include "apps/berth/ui/gate.h"
#include "apps/berth/ui/routes.h"

namespace berth::cli::ui {
namespace {

io::HttpRequestHead head_of(std::string_view request_line, std::string_view fields) {
  std::string text = std::string(request_line).append(" HTTP/1.1\r\n").append(fields).append("\r\n");
  auto head = io::parse_request_head(text);
  EXPECT_TRUE(head) << text;
  return head ? *head : io::HttpRequestHead();
}

int foreign(std::string_view fields, std::string_view request_line = "GET /api/version") {
  auto refusal = Gate::refuse_foreign(head_of(request_line, fields));
  return refusal ? refusal->status : 0;
}

TEST(Gate, KnowsItsOwnNames) {
  for (std::string_view host : {"127.0.0.1:8080", "localhost:8080", "LOCALHOST:1", "[::1]:80", "localhost"})
    EXPECT_EQ(foreign(std::string("Host: ").append(host).append("\r\n")), 0) << host;
  for (std::string_view host : {"evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example:80",
                                "", "127.0.0.2:8080", "evil.example:localhost", "localhost:80:80"})
    EXPECT_EQ(foreign(std::string("Host: ").append(host).append("\r\n")), 421) << host;
}

TEST(Gate, ServesItsOwnPageAlone) {
  std::string host = "Host: 127.0.0.1:8080\r\n";
  EXPECT_EQ(foreign(host + "Origin: http://127.0.0.1:8080\r\n"), 0);
  for (std::string_view origin : {"http://127.0.0.1:3000", "https://127.0.0.1:8080", "http://localhost:8080",
                                  "http://evil.example", "null", ""})
    EXPECT_EQ(foreign(host + "Origin: " + std::string(origin) + "\r\n"), 403) << origin;
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: same-origin\r\n"), 0);
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: none\r\n"), 0);
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: same-site\r\n"), 403);
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: cross-site\r\n"), 403);
  // A link from elsewhere to the page itself.
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", "GET /"), 0);
  EXPECT_EQ(foreign(host + "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n", "POST /session"),
            403);
}

TEST(Gate, WantsCookieAndKey) {
  Gate gate("token", "session", "key", 8080);
  EXPECT_TRUE(gate.admits("token"));
  EXPECT_FALSE(gate.admits("toke"));
  EXPECT_FALSE(gate.admits("tokeN"));
  EXPECT_FALSE(gate.admits(""));
  EXPECT_EQ(gate.cookie(), "berth-ui-8080=session; Path=/; HttpOnly; SameSite=Strict");
  auto status = [&](std::string_view fields) {
    auto refusal =
        gate.refuse_stranger(head_of("GET /api/info", std::string("Host: localhost\r\n").append(fields)));
    return refusal ? refusal->status : 0;
  };
  EXPECT_EQ(status("Cookie: berth-ui-8080=session\r\nBerth-Key: key\r\n"), 0);
  EXPECT_EQ(status("Cookie: a=b; berth-ui-8080=session; c=d\r\nBerth-Key: key\r\n"), 0);
  EXPECT_EQ(status("Cookie: berth-ui-8080=session\r\nSec-WebSocket-Protocol: berth, key-key\r\n"), 0);
  EXPECT_EQ(status("Cookie: berth-ui-8080=session\r\n"), 401);
  EXPECT_EQ(status("Berth-Key: key\r\n"), 401);
  EXPECT_EQ(status("Cookie: berth-ui-8081=session\r\nBerth-Key: key\r\n"), 401);
  EXPECT_EQ(status("Cookie: xberth-ui-8080=session\r\nBerth-Key: key\r\n"), 401);
  EXPECT_EQ(status("Cookie: berth-ui-8080=\r\nBerth-Key: \r\n"), 401);
  EXPECT_EQ(status("Cookie: berth-ui-8080=session\r\nBerth-Key: keyy\r\n"), 401);
}

TEST(Gate, MakesSecretsThatDiffer) {
  Gate one = Gate::create(1), other = Gate::create(1);
  EXPECT_EQ(one.token().size(), 64u);
  EXPECT_NE(one.token(), other.token());
  EXPECT_NE(one.key(), other.key());
  EXPECT_NE(one.cookie(), other.cookie());
  EXPECT_NE(one.token(), one.key());
}

std::string passed(std::string_view method, std::string_view path, bool over_websocket = false) {
  auto route = find_engine_route(method, path, over_websocket);
  return route ? route->path : "";
}

TEST(Routes, PassOnWhatThePageNeeds) {
  EXPECT_EQ(passed("GET", "/containers/json"), "/containers/json");
  EXPECT_EQ(passed("POST", "/containers/web/start"), "/containers/web/start");
  EXPECT_EQ(passed("DELETE", "/containers/web"), "/containers/web");
  EXPECT_EQ(passed("DELETE", "/images/registry:5000/team/app:1"), "/images/registry:5000/team/app:1");
  EXPECT_EQ(passed("GET", "/events", true), "/events");
  EXPECT_EQ(find_engine_route("GET", "/exec/1/start", true)->carriage, Carriage::Terminal);
  EXPECT_EQ(find_engine_route("GET", "/containers/1/logs", true)->carriage, Carriage::Stream);
}

TEST(Routes, PassOnNothingElse) {
  for (auto [method, path] : {std::pair{"POST", "/containers/create"},
                              {"POST", "/build"},
                              {"POST", "/images/create"},
                              {"GET", "/containers/web/archive"},
                              {"PUT", "/containers/web/archive"},
                              {"GET", "/images/a/get"},
                              {"POST", "/volumes/create"},
                              {"GET", "/"},
                              {"GET", ""},
                              {"GET", "/containers//json"},
                              {"GET", "/containers/../json"},
                              {"DELETE", "/images/../containers/web"},
                              {"DELETE", "/images/"},
                              {"DELETE", "/containers/web/"},
                              {"DELETE", "/containers/a/b"},
                              {"GET", "/containers/web/json/more"},
                              {"POST", "/berth/registry"},
                              {"get", "/version"}})
    EXPECT_EQ(passed(method, path), "") << method << " " << path;
  EXPECT_EQ(passed("GET", "/events"), "") << "a stream is no whole answer";
  EXPECT_EQ(passed("GET", "/containers/json", true), "") << "and the other way round";
}

TEST(Routes, EncodeAnew) {
  EXPECT_EQ(passed("GET", "/containers/a b?x#y/json"), "/containers/a%20b%3Fx%23y/json");
  EXPECT_EQ(passed("DELETE", "/volumes/%2e%2e"), "/volumes/%252e%252e");
}

TEST(Assets, AreSmallAndThere) {
  size_t total = 0;
  for (const Asset& asset : assets()) {
    EXPECT_TRUE(asset.bytes.starts_with("\x1f\x8b")) << asset.path;
    total += asset.bytes.size();
  }
  EXPECT_LT(total, 100'000u);
  ASSERT_NE(find_asset("/"), nullptr);
  EXPECT_EQ(find_asset("/")->type, "text/html; charset=utf-8");
  EXPECT_EQ(find_asset("/no-such.js"), nullptr);
}

}  // namespace
}  // namespace berth::cli::ui
