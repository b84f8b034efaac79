// Tests of what requests carry: filters in both forms, booleans, sizes, bodies; and of the error table.
#include "api/docker/context.h"

#include <gtest/gtest.h>

#include <cstring>

#include "base/json.h"

namespace berth::api {
namespace {

using Values = std::vector<std::string>;

/// A request without a connection.
class FakeExchange final : public io::Exchange {
 public:
  FakeExchange(std::string_view query, std::string body = {}, std::string content_type = {})
      : body_(std::move(body)) {
    head_.method = "POST";
    head_.query = io::HttpQuery::parse(query).value();
    if (!content_type.empty()) head_.headers.add("Content-Type", content_type);
    if (!body_.empty()) head_.body = io::HttpRequestHead::Body::Length;
    head_.content_length = body_.size();
  }
  const io::HttpRequestHead& request() const override { return head_; }
  io::Task<Result<size_t>> read_some(std::span<char> buffer) override {
    size_t count = body_.copy(buffer.data(), buffer.size());
    body_.erase(0, count);
    co_return count;
  }
  io::CancelToken client_gone() const override { return {}; }
  std::optional<ucred> peer() const override { return {}; }
  void set_header(std::string_view, std::string_view) override {}
  io::Task<Result<void>> respond(int, std::string_view, std::string_view) override {
    co_return Result<void>();
  }
  io::Task<Result<void>> begin(int, std::string_view) override { co_return Result<void>(); }
  io::Task<Result<void>> begin_sized(int, std::string_view, uint64_t) override { co_return Result<void>(); }
  io::Task<Result<void>> write(std::string_view) override { co_return Result<void>(); }
  io::Task<Result<void>> finish() override { co_return Result<void>(); }
  bool begun() const override { return false; }
  void abort() override {}
  io::Task<Result<io::HijackedSocket>> hijack(std::string_view) override { co_return io::HijackedSocket(); }
  io::Task<Result<io::HijackedSocket>> hijack_silently() override { co_return io::HijackedSocket(); }

 private:
  io::HttpRequestHead head_;
  std::string body_;
};

class ContextTest : public testing::Test {
 protected:
  // The parameters never reach the engine.
  Context context(FakeExchange& exchange) {
    alignas(DockerApi) static char nothing[sizeof(DockerApi)];
    return Context(*reinterpret_cast<DockerApi*>(nothing), exchange, ApiVersion{1, 51}, {});
  }
};

TEST(Filters, ParseInBothForms) {
  auto filters =
      parse_filters(R"({"label":{"a=b":true,"c":true},"status":["running"],"off":{"x":false}})").value();
  EXPECT_EQ(filters["label"], (Values{"a=b", "c"}));
  EXPECT_EQ(filters["status"], Values{"running"});
  EXPECT_TRUE(filters["off"].empty());
  EXPECT_TRUE(parse_filters("")->empty());
  EXPECT_TRUE(parse_filters("{}")->empty());
  for (const char* bad : {"x", "[]", "1", R"({"label":1})", R"({"label":[1]})", R"({"label":{"a":true})"}) {
    auto refused = parse_filters(bad);
    ASSERT_FALSE(refused) << bad;
    EXPECT_EQ(refused.error().kind(), Kind::InvalidArgument);
  }
}

TEST_F(ContextTest, ReadsBooleansAsDockerDoes) {
  FakeExchange exchange("a=1&b=0&c=&d=False&e=none&f=NO&g=yes&h");
  Context request = context(exchange);
  EXPECT_TRUE(request.flag("a"));
  for (const char* name : {"b", "c", "d", "e", "f", "h"}) EXPECT_FALSE(request.flag(name, true)) << name;
  EXPECT_TRUE(request.flag("g"));
  EXPECT_TRUE(request.flag("absent", true));
  EXPECT_FALSE(request.flag("absent"));
}

TEST_F(ContextTest, ReadsNumbers) {
  FakeExchange exchange("n=-5&bad=5x&empty=&h=24&w=99999&minus=-1&over=4294967296");
  Context request = context(exchange);
  EXPECT_EQ(request.integer("n").value(), -5);
  EXPECT_FALSE(request.integer("bad"));
  EXPECT_EQ(request.integer("empty").value(), std::nullopt);
  EXPECT_EQ(request.terminal_size("h").value(), 24);
  EXPECT_EQ(request.terminal_size("w").value(), 65535);
  for (const char* name : {"minus", "over", "empty", "absent", "bad"})
    EXPECT_FALSE(request.terminal_size(name)) << name;
}

TEST_F(ContextTest, BodiesMustBeJson) {
  io::EventLoop loop;
  auto read = [&](std::string body, std::string type) {
    FakeExchange exchange("", std::move(body), std::move(type));
    Context request = context(exchange);
    return loop.run_until_complete(request.json_body());
  };
  EXPECT_EQ(read("{}", "application/json").value(), "{}");
  EXPECT_EQ(read("{}", "Application/JSON; charset=utf-8").value(), "{}");
  EXPECT_EQ(read("", "text/plain").value(), "");
  EXPECT_FALSE(read("{}", "text/plain"));
  EXPECT_FALSE(read("{}", ""));
  EXPECT_FALSE(read(std::string(max_json_body + 1, ' '), "application/json"));
}

TEST(Errors, MapToStatuses) {
  EXPECT_EQ(http_status(Error(Kind::NotFound, "")), 404);
  EXPECT_EQ(http_status(Error(Kind::AlreadyExists, "")), 409);
  EXPECT_EQ(http_status(Error(Kind::WrongState, "")), 409);
  EXPECT_EQ(http_status(Error(Kind::NotModified, "")), 304);
  EXPECT_EQ(http_status(Error(Kind::Corrupt, "")), 500);
  EXPECT_EQ(http_status(Error(Kind::Unavailable, "")), 500);
  EXPECT_EQ(error_body(Error(Kind::NotFound, "No such image: <x> & \"y\"")),
            "{\"message\":\"No such image: <x> & \\\"y\\\"\"}\n");
}

}  // namespace
}  // namespace berth::api
