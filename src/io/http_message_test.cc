// Tests of the HTTP parsers: what is accepted, and above all what is refused.
#include "io/http_message.h"

#include <gtest/gtest.h>

namespace berth::io {
namespace {

int status_of(std::string_view head) {
  auto parsed = parse_request_head(head);
  return parsed ? 200 : parsed.error().status;
}

std::string with_host(std::string_view rest) {
  return "GET / HTTP/1.1\r\nHost: x\r\n" + std::string(rest);
}

TEST(HttpMessage, ParsesARequest) {
  auto head =
      parse_request_head(
          "POST /v1.51/images/a%2Fb/tag?repo=x%20y&tag=&flag HTTP/1.1\r\nHost: api\r\nContent-Length: 12\r\n"
          "X-Meta:  v \r\n\r\n")
          .value();
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1.51/images/a/b/tag");
  EXPECT_EQ(head.query.get("repo"), "x y");
  EXPECT_EQ(head.query.get("tag"), "");
  EXPECT_EQ(head.query.get("flag"), "");
  EXPECT_FALSE(head.query.get("absent"));
  EXPECT_EQ(head.headers.get("x-meta"), "v");
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.keep_alive);
}

TEST(HttpMessage, AbsoluteTargetsLoseTheirAuthority) {
  auto head = parse_request_head("GET http://docker/_ping?x=1 HTTP/1.1\r\nHost: docker\r\n\r\n").value();
  EXPECT_EQ(head.path, "/_ping");
  EXPECT_EQ(parse_request_head("GET http://docker HTTP/1.1\r\nHost: docker\r\n\r\n")->path, "/");
}

TEST(HttpMessage, RefusesWhatCanBeReadInTwoWays) {
  EXPECT_EQ(status_of(with_host("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: 3\r\nContent-Length: 4\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: 3, 3\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: +3\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: 0x3\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: \r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Content-Length: 99999999999999999999\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Transfer-Encoding: chunked, identity\r\n\r\n")), 501);
  EXPECT_EQ(status_of(with_host("Transfer-Encoding: \x0b"
                                "chunked\r\n\r\n")),
            400);
  EXPECT_EQ(status_of(with_host("Transfer-Encoding : chunked\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host(" folded: x\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("Host: y\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host("A: b\nC: d\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host(std::string("A: b\0c\r\n\r\n", 11))), 400);
  EXPECT_EQ(status_of(with_host("A: b\rc\r\n\r\n")), 400);
  EXPECT_EQ(status_of(with_host(": b\r\n\r\n")), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
}

TEST(HttpMessage, RefusesMalformedRequestLines) {
  EXPECT_EQ(status_of("GET /\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/2.0\r\nHost: x\r\n\r\n"), 505);
  EXPECT_EQ(status_of("G@T / HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET a HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of("GET /?a=%4 HTTP/1.1\r\nHost: x\r\n\r\n"), 400);
  EXPECT_EQ(status_of(""), 400);
  EXPECT_EQ(status_of("\r\n"), 400);
}

TEST(HttpMessage, KnowsExpectAndConnection) {
  EXPECT_TRUE(parse_request_head(with_host("Expect: 100-Continue\r\n\r\n"))->expects_continue);
  EXPECT_EQ(status_of(with_host("Expect: miracles\r\n\r\n")), 417);
  EXPECT_FALSE(parse_request_head(with_host("Connection: x, Close\r\n\r\n"))->keep_alive);
  EXPECT_TRUE(parse_request_head(with_host("Connection: Upgrade\r\n\r\n"))
                  ->headers.has_token("connection", "upgrade"));
}

std::optional<std::string> decode(std::string_view input, size_t piece) {
  ChunkedDecoder decoder;
  std::string body;
  for (size_t at = 0; at < input.size();) {
    std::string_view part = input.substr(at, piece);
    size_t used = 0;
    while (true) {
      auto step = decoder.step(part.substr(used));
      used += step.consumed;
      if (step.state == ChunkedDecoder::State::Bad) return std::nullopt;
      if (step.state == ChunkedDecoder::State::End)
        return at + used == input.size() ? std::optional(body) : std::nullopt;
      if (step.state == ChunkedDecoder::State::NeedMore) break;
      body += step.data;
    }
    at += part.size();
  }
  return std::nullopt;
}

TEST(ChunkedDecoder, DecodesInPiecesOfAnySize) {
  std::string_view input = "4\r\nWiki\r\n6;ext=1\r\npedia \r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (size_t piece = 1; piece <= input.size(); ++piece) {
    EXPECT_EQ(decode(input, piece), "Wikipedia 0123456789") << piece;
  }
}

TEST(ChunkedDecoder, RefusesMalformedChunks) {
  for (std::string_view input :
       {"\r\n", "g\r\n", "-1\r\n", "1 \r\nab\r\n", "1\r\nab", "1\nA\r\n0\r\n\r\n", "ffffffffffffffffff\r\n",
        "1\r\nA\n0\r\n\r\n", "0\r\n\n", "0x1\r\nA\r\n", " 1\r\nA\r\n", "1;a\nb\r\nA\r\n"}) {
    EXPECT_FALSE(decode(input, 1)) << input;
    EXPECT_FALSE(decode(input, 100)) << input;
  }
  EXPECT_FALSE(decode("1;" + std::string(10'000, 'x') + "\r\nA\r\n0\r\n\r\n", 100));
  EXPECT_FALSE(decode("0\r\n" + std::string(100'000, 'x') + "\r\n\r\n", 100));
}

}  // namespace
}  // namespace berth::io
