// Tests of events as HTTP requests and answers as results.
#include "functions/sandbox/web_events.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::functions {
namespace {

WebServer on_port() {
  WebServer server;
  server.port = 8080;
  return server;
}

WebContext of_id() {
  return {.request_id = "id"};
}

TEST(WebServer, IsNamedByFunctionThenImageThenLabel) {
  EXPECT_EQ(web_server_of({}, {"PORT=80"}, {})->port, 0);
  EXPECT_EQ(web_server_of({}, {"AWS_LWA_PORT=81"}, {{"io.berth.function.port", "82"}})->port, 81);
  EXPECT_EQ(web_server_of({}, {}, {{"io.berth.function.port", "82"}})->port, 82);
  auto all = web_server_of({{"AWS_LWA_PORT", "80"}, {"AWS_LWA_READINESS_CHECK_PATH", "/health"}},
                           {"AWS_LWA_PORT=81", "AWS_LWA_PASS_THROUGH_PATH=/in"}, {});
  EXPECT_EQ(all->port, 80);
  EXPECT_EQ(all->readiness_path, "/health");
  EXPECT_EQ(all->pass_through, "/in");
  for (const char* port : {"0", "65536", "x", "-1", "80 "})
    EXPECT_EQ(web_server_of({{"AWS_LWA_PORT", port}}, {}, {}).error().kind(), Kind::InvalidArgument) << port;
}

TEST(WebRequest, OfAFunctionUrl) {
  auto request =
      web_request(R"({"version":"2.0","rawPath":"/a b","rawQueryString":"x=1&y=%20","cookies":["a=1","b=2"],
    "headers":{"host":"h","content-type":"text/plain","connection":"upgrade","content-length":"99","bad name":"x",
    "evil":"a\r\nInjected: 1"},"requestContext":{"http":{"method":"PUT"}},"body":"aGk=","isBase64Encoded":true})",
                  on_port(), of_id());
  EXPECT_EQ(request.kind, WebEventKind::Format2);
  EXPECT_TRUE(request.bytes.starts_with("PUT /a%20b?x=1&y=%20 HTTP/1.1\r\n")) << request.bytes;
  EXPECT_TRUE(request.bytes.ends_with("\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi"))
      << request.bytes;
  for (const char* there :
       {"\r\nhost: h\r\n", "\r\ncookie: a=1; b=2\r\n", "\r\nx-amzn-lambda-request-id: id\r\n"})
    EXPECT_NE(request.bytes.find(there), std::string::npos) << there;
  for (const char* gone : {"upgrade", "99", "bad name", "Injected", "127.0.0.1"})
    EXPECT_EQ(request.bytes.find(gone), std::string::npos) << gone;
}

TEST(WebRequest, TellsItsContextAndNotWhatClientsSayOfIt) {
  WebContext context{.request_id = "id", .tenant = "blue", .document = R"({"request_id":"id"})"};
  const char* events[] = {
      R"({"version":"2.0","rawPath":"/","headers":{"X-Amz-Tenant-Id":"red","x-amzn-lambda-context":"red",
        "x-amzn-request-context":"red","x-amzn-lambda-request-id":"red"},"requestContext":{"http":{"method":"GET"}}})",
      R"({"httpMethod":"GET","path":"/","multiValueHeaders":{"x-amz-tenant-id":["red"],"X-Amzn-Request-Context":["red"]}})",
      R"({"Records":[]})"};
  for (const char* event : events) {
    std::string bytes = web_request(event, on_port(), context).bytes;
    EXPECT_EQ(bytes.find("red"), std::string::npos) << bytes;
    for (const char* there : {"\r\nx-amz-tenant-id: blue\r\n", "\r\nx-amzn-lambda-request-id: id\r\n",
                              "\r\nx-amzn-lambda-context: {\"request_id\":\"id\"}\r\n"})
      EXPECT_NE(bytes.find(there), std::string::npos) << there;
    EXPECT_EQ(web_request(event, on_port(), of_id()).bytes.find("tenant"), std::string::npos) << event;
  }
}

TEST(WebRequest, OfApiGatewayAndLoadBalancers) {
  auto request = web_request(R"({"httpMethod":"GET","path":"/p","headers":{"a":"1"},
    "multiValueQueryStringParameters":{"q":["a b","c"]},"body":null})",
                             on_port(), of_id());
  EXPECT_EQ(request.kind, WebEventKind::Format1);
  EXPECT_TRUE(request.bytes.starts_with("GET /p?q=a%20b&q=c HTTP/1.1\r\na: 1\r\n")) << request.bytes;
  request = web_request(R"({"httpMethod":"GET","path":"/p","queryStringParameters":{"q":"a%20b"},
    "requestContext":{"elb":{}}})",
                        on_port(), of_id());
  EXPECT_TRUE(request.bytes.starts_with("GET /p?q=a%20b HTTP/1.1\r\n")) << request.bytes;
}

TEST(WebRequest, OfOtherEvents) {
  for (const char* event : {R"({"Records":[]})", "1", "no json"}) {
    auto request = web_request(event, on_port(), of_id());
    EXPECT_EQ(request.kind, WebEventKind::PassThrough);
    EXPECT_TRUE(request.bytes.starts_with("POST /events HTTP/1.1\r\n")) << request.bytes;
    EXPECT_TRUE(request.bytes.ends_with(std::string("\r\n\r\n") + event)) << request.bytes;
  }
}

TEST(WebRequest, CannotBeSplitByAMethodOrPath) {
  auto request = web_request(
      R"({"version":"2.0","rawPath":"/x HTTP/1.1\r\nA: b","requestContext":{"http":{"method":"GET /\r\n"}}})",
      on_port(), of_id());
  EXPECT_TRUE(request.bytes.starts_with("GET /x%20HTTP/1.1%0D%0AA:%20b HTTP/1.1\r\n")) << request.bytes;
}

TEST(WebAnswer, IsTakenApart) {
  auto answer = parse_web_answer(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nA:  b \r\nContent-Length: 2\r\n\r\nhi!");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 201);
  EXPECT_EQ(answer->body, "hi");
  EXPECT_EQ(answer->headers.front().second, "b");
  EXPECT_EQ(
      parse_web_answer("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n")
          ->body,
      "hi!");
  EXPECT_EQ(parse_web_answer("HTTP/1.0 200 OK\r\n\r\nto the end")->body, "to the end");
  EXPECT_EQ(parse_web_answer("HTTP/1.0 200 OK\r\nA: b\n\nof a CGI program")->body, "of a CGI program");
  for (const char* bad : {"", "HTTP/1.1 200 OK\r\n", "SSH-2.0-x\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "HTTP/1.1 200 OK\r\nnone\r\n\r\n",
                          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhi"})
    EXPECT_FALSE(parse_web_answer(bad)) << bad;
}

TEST(WebResult, HasTheFormOfItsEvent) {
  WebAnswer answer{
      .status = 404,
      .headers = {{"Set-Cookie", "a"}, {"Set-Cookie", "b"}, {"X", "1"}, {"X", "2"}, {"Connection", "close"}},
      .body = "ä"};
  EXPECT_EQ(
      *parse_json(web_result(WebEventKind::Format2, answer)),
      *parse_json(
          R"({"statusCode":404,"isBase64Encoded":false,"body":"ä","headers":{"x":"1,2"},"cookies":["a","b"]})"));
  auto first = *parse_json(web_result(WebEventKind::Format1, answer));
  EXPECT_EQ(first["multiValueHeaders"]["set-cookie"], (Json{"a", "b"}));
  answer.body = "\xff\xfe";
  auto binary = *parse_json(web_result(WebEventKind::Format2, answer));
  EXPECT_EQ(binary["body"], "//4=");
  EXPECT_EQ(binary["isBase64Encoded"], true);
  EXPECT_EQ(web_result(WebEventKind::PassThrough, {.status = 200, .headers = {}, .body = "{\"a\":1}"}),
            "{\"a\":1}");
  EXPECT_EQ(web_result(WebEventKind::PassThrough, {.status = 200, .headers = {}, .body = "text"}),
            "\"text\"");
  EXPECT_EQ(web_result(WebEventKind::PassThrough, {.status = 200, .headers = {}, .body = ""}), "null");
}

}  // namespace
}  // namespace berth::functions
