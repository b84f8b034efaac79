// Routes, function URLs' events and answers, event stream frames, chunked uploads.
#include <gtest/gtest.h>

#include <set>

#include "api/lambda/event_stream.h"
#include "api/lambda/router.h"
#include "api/lambda/url_event.h"
#include "api/s3/chunked_body.h"
#include "base/json.h"

namespace berth::api::lambda {
namespace {

std::string_view operation_of(std::string_view method, std::string_view target) {
  Match match = find_operation(method, target);
  return match.operation == nullptr ? "" : match.operation->name;
}

TEST(LambdaRouter, FindsOperationsByDateMethodAndPath) {
  EXPECT_EQ(operation_of("POST", "/2015-03-31/functions"), "CreateFunction");
  EXPECT_EQ(operation_of("GET", "/2015-03-31/functions/"), "ListFunctions");
  EXPECT_EQ(operation_of("GET", "/2015-03-31/functions/f?Qualifier=1"), "GetFunction");
  EXPECT_EQ(operation_of("POST", "/2015-03-31/functions/f/invocations"), "Invoke");
  EXPECT_EQ(operation_of("GET", "/2019-09-25/functions/f/event-invoke-config/list"),
            "ListFunctionEventInvokeConfigs");
  EXPECT_EQ(operation_of("GET", "/2020-06-30/functions/f/code-signing-config"),
            "GetFunctionCodeSigningConfig");
  EXPECT_EQ(operation_of("GET", "/2015-03-31/nothing"), "");
  EXPECT_TRUE(find_operation("PATCH", "/2015-03-31/functions").path_known);
  EXPECT_TRUE(is_dated_path("/2015-03-31/functions"));
  EXPECT_FALSE(is_dated_path("/2015-03-3x/functions"));
  EXPECT_FALSE(is_dated_path("/v1.43/containers"));
}

TEST(LambdaRouter, CapturesAreDecoded) {
  Match match =
      find_operation("GET", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A000000000000%3Afunction%3Af");
  ASSERT_NE(match.operation, nullptr);
  EXPECT_EQ(match.captures.at(0), "arn:aws:lambda:us-east-1:000000000000:function:f");
}

TEST(FunctionUrl, EventHasFormatTwo) {
  std::string text =
      "POST /a%20b?x=1&x=2&y= HTTP/1.1\r\nHost: id.lambda-url.us-east-1.localhost:4566\r\n"
      "Content-Type: application/json\r\nCookie: a=1; b=2\r\nX-Two: p\r\nx-two: q\r\n"
      "Content-Length: 2\r\n\r\n";
  auto head = io::parse_request_head(text).value();
  std::string event_text = url_event({.head = head,
                                      .target = head.target,
                                      .body = "{}",
                                      .url_id = "id",
                                      .domain = "id.lambda-url.us-east-1.localhost",
                                      .request_id = "r",
                                      .source_ip = "127.0.0.1",
                                      .time_ms = 1764309911123});
  Json event = parse_json(event_text).value();
  EXPECT_EQ(event["version"], "2.0");
  EXPECT_EQ(event["rawPath"], "/a%20b");
  EXPECT_EQ(event["rawQueryString"], "x=1&x=2&y=");
  EXPECT_EQ(event["queryStringParameters"]["x"], "1,2");
  EXPECT_EQ(event["cookies"], Json::array({"a=1", "b=2"}));
  EXPECT_EQ(event["headers"]["x-two"], "p,q");
  EXPECT_FALSE(event["headers"].contains("cookie"));
  EXPECT_EQ(event["body"], "{}");
  EXPECT_EQ(event["isBase64Encoded"], false);
  EXPECT_EQ(event["requestContext"]["http"]["method"], "POST");
  EXPECT_EQ(event["requestContext"]["time"], "28/Nov/2025:06:05:11 +0000");
  EXPECT_EQ(event["requestContext"]["accountId"], "anonymous");
}

TEST(FunctionUrl, WhatAFunctionReturnsIsTheAnswer) {
  UrlResponse whole = url_response(
      R"({"statusCode":201,"headers":{"Content-Type":"text/html","X-A":"b","Content-Length":"9"},)"
      R"("cookies":["c=1"],"body":"aGk=","isBase64Encoded":true})");
  EXPECT_EQ(whole.status, 201);
  EXPECT_EQ(whole.content_type, "text/html");
  EXPECT_EQ(whole.body, "hi");
  ASSERT_EQ(whole.headers.size(), 2u);
  EXPECT_EQ(whole.headers[1].first, "Set-Cookie");
  EXPECT_EQ(url_response(R"({"a":1})").body, R"({"a":1})");
  EXPECT_EQ(url_response(R"("text")").body, "text");
  EXPECT_EQ(url_response(R"({"statusCode":99})").status, 502);
  EXPECT_EQ(url_response("").status, 200);
  EXPECT_FALSE(url_prelude("[]"));
  EXPECT_EQ(url_prelude(R"({"statusCode":404})")->status, 404);
}

TEST(EventStream, FrameOfTheSpecification) {
  std::string frame = event_frame("PayloadChunk", "application/octet-stream", "hello");
  auto number = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i) value = value << 8 | static_cast<unsigned char>(frame[at + i]);
    return value;
  };
  EXPECT_EQ(number(0), frame.size());
  EXPECT_EQ(number(4), frame.size() - 16 - 5);
  EXPECT_EQ(frame.substr(frame.size() - 9, 5), "hello");
  EXPECT_NE(frame.find(":event-type"), std::string::npos);
}

TEST(ChunkedBody, AnySplitGivesTheContent) {
  std::string body =
      "5;chunk-signature=aa\r\nhello\r\n6\r\n world\r\n0;chunk-signature=bb\r\nx-amz-trailer:1\r\n\r\n";
  for (size_t step = 1; step <= body.size(); ++step) {
    s3::ChunkedBody chunks;
    std::string out;
    for (size_t at = 0; at < body.size(); at += step)
      ASSERT_TRUE(chunks.feed(body.substr(at, step), out)) << step;
    EXPECT_EQ(out, "hello world");
    EXPECT_TRUE(chunks.ended());
  }
  s3::ChunkedBody wrong;
  std::string out;
  EXPECT_FALSE(wrong.feed("zz\r\n", out));
}

}  // namespace
}  // namespace berth::api::lambda
