// The HTTP client: parsing, whatever the pieces, and endpoints.
#include <gtest/gtest.h>

#include <arpa/inet.h>

#include "apps/berth/client/client.h"
#include "apps/berth/client/endpoint.h"
#include "apps/berth/client/http.h"
#include "apps/berth/client/resolver.h"

namespace berth::cli::client {
namespace {

struct Parsed {
  ResponseHead head;
  std::string body;
  std::string rest;
  bool complete = false;
  std::string error;
};

Parsed parse(std::string_view text, size_t piece, ResponseParser::Body body = ResponseParser::Body::Expected,
             bool end = true) {
  ResponseParser parser(body);
  Parsed parsed;
  std::string pending;
  for (size_t at = 0; at < text.size(); at += piece) {
    pending += text.substr(at, piece);
    std::string_view view = pending;
    auto fed = parser.feed(view, parsed.body);
    if (!fed) {
      parsed.error = fed.error().message();
      return parsed;
    }
    pending = std::string(view);
  }
  if (end && !parser.complete()) {
    auto ended = parser.end_of_stream();
    if (!ended) parsed.error = ended.error().message();
  }
  parsed.head = parser.head();
  parsed.rest = pending;
  parsed.complete = parser.complete();
  return parsed;
}

TEST(Http, ReadsBodiesOfAllFramingsInAnyPieces) {
  constexpr std::string_view chunked =
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nApi-Version: 1.51\r\n\r\n"
      "5\r\nhello\r\n1;x=y\r\n \r\n5\r\nworld\r\n0\r\nTrailer: x\r\n\r\n";
  constexpr std::string_view sized = "HTTP/1.1 201 Created\r\nContent-Length: 11\r\n\r\nhello world";
  constexpr std::string_view closed = "HTTP/1.0 200 OK\r\n\r\nhello world";
  for (std::string_view text : {chunked, sized, closed}) {
    for (size_t piece : {1u, 2u, 3u, 7u, 1000u}) {
      auto parsed = parse(text, piece);
      EXPECT_EQ(parsed.error, "");
      EXPECT_EQ(parsed.body, "hello world");
      EXPECT_TRUE(parsed.complete);
    }
  }
  EXPECT_EQ(parse(chunked, 4).head.header("api-version"), "1.51");
}

TEST(Http, StopsAfterTheHeadOfAnUpgrade) {
  auto parsed = parse("HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\n\r\nraw bytes", 1000);
  EXPECT_EQ(parsed.head.status, 101);
  EXPECT_EQ(parsed.rest, "raw bytes");
  parsed = parse("HTTP/1.1 200 OK\r\n\r\nraw", 1000, ResponseParser::Body::Raw);
  EXPECT_EQ(parsed.rest, "raw");
  parsed = parse("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}", 1000, ResponseParser::Body::Raw);
  EXPECT_EQ(parsed.body, "{}");
}

TEST(Http, SkipsInterimResponsesAndBodilessOnes) {
  auto parsed = parse("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", 3);
  EXPECT_EQ(parsed.head.status, 204);
  EXPECT_TRUE(parsed.complete);
  parsed = parse("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", 5, ResponseParser::Body::None);
  EXPECT_TRUE(parsed.complete);
}

TEST(Http, RefusesWhatIsNoResponse) {
  for (std::string_view text :
       {"SSH-2.0-OpenSSH_9.2\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"}) {
    EXPECT_NE(parse(text, 1000).error, "") << text;
  }
  EXPECT_NE(parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", 1000).error, "");
  EXPECT_NE(parse("", 1000).error, "");
  EXPECT_NE(parse("HTTP/1.1 200 OK\r\nX: " + std::string(1u << 20, 'a'), 4096).error, "");
  EXPECT_NE(
      parse("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(1u << 20, '0'), 4096).error,
      "");
}

TEST(Http, WritesRequests) {
  EXPECT_EQ(request_head("POST", "/v1.51/x?a=1", {{"X-A", "b\r\nInjected: c"}}, Framing::Length, 2,
                         "application/json"),
            std::string("POST /v1.51/x?a=1 HTTP/1.1\r\nHost: api.berth.localhost\r\nUser-Agent: berth/") +
                BERTH_VERSION +
                "\r\nX-A: bInjected: c\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n");
  EXPECT_EQ(Query().add("a b", "c&d/é").flag("no", false).flag("yes", true).add_unless_empty("e", "").str(),
            "?a%20b=c%26d%2F%C3%A9&yes=1");
  EXPECT_EQ(path_of("containers", "../etc", "json"), "/containers/..%2Fetc/json");
  EXPECT_EQ(image_path("host:5000/a/b:c", "json"), "/images/host:5000/a/b:c/json");
}

TEST(Client, TakesTheMessageOutOfErrors) {
  ResponseHead head{404, {}};
  EXPECT_EQ(failure_of(head, R"({"message":"No such container: x"})", "/x").text(),
            "Error response from daemon: No such container: x");
  EXPECT_EQ(failure_of(head, "plain text\n", "/x").message, "plain text");
  EXPECT_NE(failure_of(head, "", "/x").message.find("404"), std::string::npos);
  EXPECT_NE(failure_of(head, R"({"message":5})", "/x").message, "");
}

TEST(Client, ComparesVersionsAsNumbers) {
  EXPECT_LT(compare_versions("1.9", "1.41"), 0);
  EXPECT_EQ(compare_versions("1.41", "1.41"), 0);
  EXPECT_GT(compare_versions("2.0", "1.99"), 0);
}

TEST(Endpoint, ReadsAllForms) {
  using Scheme = Endpoint::Scheme;
  EXPECT_EQ(*parse_endpoint("unix:///a/b.sock"), (Endpoint{Scheme::Unix, "/a/b.sock"}));
  EXPECT_EQ(*parse_endpoint("tcp://host"), (Endpoint{Scheme::Tcp, "host", 2375}));
  EXPECT_EQ(*parse_endpoint("tcp://[::1]:99"), (Endpoint{Scheme::Tcp, "::1", 99}));
  EXPECT_EQ(*parse_endpoint("127.0.0.1:80"), (Endpoint{Scheme::Tcp, "127.0.0.1", 80}));
  EXPECT_EQ(*parse_endpoint("tcp://:99/"), (Endpoint{Scheme::Tcp, "localhost", 99}));
  EXPECT_EQ(*parse_endpoint("ssh://me@host:22"), (Endpoint{Scheme::Ssh, "host", 22, "me"}));
  EXPECT_EQ(parse_endpoint("tcp://[::1]:99")->str(), "tcp://[::1]:99");
  for (const char* bad : {"npipe://x", "tcp://host:0", "tcp://host:x", "tcp://[::1", "ssh://-oProxyCommand=x",
                          "ssh://", "tcp://host/path"}) {
    EXPECT_FALSE(parse_endpoint(bad)) << bad;
  }
}

TEST(Resolver, ReadsHostsFiles) {
  auto found = find_in_hosts("# x\n10.0.0.1 a b # c\n::1\tlocalhost B\nbad line\n", "b");
  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].family, AF_INET);
  EXPECT_EQ(found[1].family, AF_INET6);
  EXPECT_TRUE(find_in_hosts("10.0.0.1 a # b", "b").empty());
}

}  // namespace
}  // namespace berth::cli::client
