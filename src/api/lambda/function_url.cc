#include "api/lambda/function_url.h"

#include <algorithm>

#include "api/lambda/invoking.h"
#include "api/lambda/url_event.h"
#include "base/clock.h"
#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "functions/catalog/catalog.h"
#include "functions/invocation.h"
#include "functions/limits.h"

namespace berth::api::lambda {
namespace {

using functions::UrlConfig;

constexpr std::string_view path_prefix = "/_berth/url/";
constexpr std::string_view host_part = ".lambda-url.";
constexpr std::string_view prelude_type = "application/vnd.awslambda.http-integration-response";
constexpr size_t longest_prelude = 64 << 10;

std::string_view host_of(const io::Exchange& exchange) {
  return exchange.header("Host").value_or("");
}

/// Path and query below the URL.
std::string_view target_of(const io::Exchange& exchange) {
  std::string_view target = exchange.request().target;
  if (!target.starts_with(path_prefix)) return target;
  target.remove_prefix(path_prefix.size());
  size_t end = target.find_first_of("/?");
  return end == std::string_view::npos ? std::string_view("/") : target.substr(end);
}

bool holds(const std::vector<std::string>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(), [&](const std::string& each) {
    return each == "*" || io::equals_ignoring_case(each, text);
  });
}

std::string joined(const std::vector<std::string>& list) {
  return fmt::format("{}", fmt::join(list, ","));
}

/// The headers of cross-origin sharing that the URL's configuration gives; false: the origin is none of them.
bool put_cors_headers(io::Exchange& exchange, const UrlConfig::Cors& cors, bool preflight) {
  std::string_view origin = exchange.header("Origin").value_or("");
  if (origin.empty() || !holds(cors.allow_origins, origin)) return false;
  bool any = std::find(cors.allow_origins.begin(), cors.allow_origins.end(), "*") != cors.allow_origins.end();
  exchange.set_header("Access-Control-Allow-Origin", any && !cors.allow_credentials ? "*" : origin);
  exchange.set_header("Vary", "Origin");
  if (cors.allow_credentials) exchange.set_header("Access-Control-Allow-Credentials", "true");
  if (!cors.expose_headers.empty()) {
    exchange.set_header("Access-Control-Expose-Headers", joined(cors.expose_headers));
  }
  if (!preflight) return true;
  if (!cors.allow_methods.empty())
    exchange.set_header("Access-Control-Allow-Methods", joined(cors.allow_methods));
  if (!cors.allow_headers.empty())
    exchange.set_header("Access-Control-Allow-Headers", joined(cors.allow_headers));
  if (cors.max_age) exchange.set_header("Access-Control-Max-Age", std::to_string(*cors.max_age));
  return true;
}

bool is_cors_header(std::string_view name) {
  return name.size() > 15 && io::equals_ignoring_case(name.substr(0, 15), "access-control-");
}

void put_headers(io::Exchange& exchange, const UrlResponse& response, bool has_cors) {
  for (const auto& [name, value] : response.headers) {
    if (!has_cors || !is_cors_header(name)) exchange.set_header(name, value);
  }
}

/// Answers with a function's bytes as they come, after the prelude if there is one.
class UrlStream final : public functions::ResponseStream {
 public:
  UrlStream(io::Exchange& exchange, bool has_cors) : exchange_(exchange), has_cors_(has_cors) {}

  io::Task<Result<void>> begin(std::string content_type) override {
    if (content_type.starts_with(prelude_type)) {
      in_prelude_ = true;
      co_return Result<void>();
    }
    response_.content_type = content_type.empty() ? "application/octet-stream" : content_type;
    co_return co_await start();
  }

  io::Task<Result<void>> write(std::string_view bytes) override {
    if (!in_prelude_) co_return co_await pass(bytes);
    prelude_.append(bytes);
    constexpr std::string_view end_mark("\0\0\0\0\0\0\0\0", 8);
    size_t end = prelude_.find(end_mark);
    if (end == std::string::npos && prelude_.size() <= longest_prelude) co_return Result<void>();
    auto response =
        end == std::string::npos ? std::nullopt : url_prelude(std::string_view(prelude_).substr(0, end));
    in_prelude_ = false;
    if (!response) {
      failed_ = true;
      co_return Error(Kind::InvalidArgument, "the function's response has no valid prelude");
    }
    response_ = std::move(*response);
    std::string rest = prelude_.substr(end + end_mark.size());
    prelude_.clear();
    CO_CHECK(co_await start());
    co_return co_await pass(rest);
  }

  bool failed() const { return failed_ || in_prelude_; }

 private:
  io::Task<Result<void>> start() {
    put_headers(exchange_, response_, has_cors_);
    co_return co_await exchange_.begin(response_.status, response_.content_type);
  }
  io::Task<Result<void>> pass(std::string_view bytes) {
    if (bytes.empty()) co_return Result<void>();
    co_return co_await exchange_.write(bytes);
  }

  io::Exchange& exchange_;
  bool has_cors_;
  UrlResponse response_;
  std::string prelude_;
  bool in_prelude_ = false;
  bool failed_ = false;
};

/// One request to one URL.
class UrlCall {
 public:
  UrlCall(FunctionServices& services, io::Exchange& exchange, AwsCaller caller, std::string id)
      : services_(services), exchange_(exchange), caller_(std::move(caller)), id_(std::move(id)) {}

  io::Task<void> serve() {
    co_await answer();
    if (!refusal_) co_return;
    std::string type = refusal_->text.starts_with('{') ? "application/json" : "text/plain";
    [[maybe_unused]] auto sent = co_await exchange_.respond(refusal_->status, type, refusal_->text);
  }

 private:
  io::Task<void> answer() {
    auto target = services_.catalog.find_url(id_);
    if (!target) {
      deny(R"({"Message":null})");
      co_return;
    }
    UrlConfig config = *target->url;
    auto function =
        services_.catalog.resolve(target->entry->realm(), target->entry->name(), config.qualifier);
    if (config.cors) has_cors_ = put_cors_headers(exchange_, *config.cors, exchange_.method() == "OPTIONS");
    bool preflight = config.cors && exchange_.method() == "OPTIONS" &&
                     exchange_.header("Access-Control-Request-Method").has_value();
    if (preflight) {
      refuse(200, "");
      co_return;
    }
    auto body = co_await exchange_.read_body(functions::limits_of(services_.profile).sync_payload_bytes);
    if (!body) {
      if (body.error().kind() != Kind::Cancelled) refuse(413, R"({"Message":"Request Entity Too Large"})");
      co_return;
    }
    if (config.auth_type == "AWS_IAM" && !is_signed(*body)) {
      refuse(403, R"({"Message":"Forbidden"})");
      co_return;
    }
    bool alias_is_gone = !function && !config.qualifier.empty();
    if (alias_is_gone) {
      deny(R"({"Message":"Forbidden"})");
      co_return;
    }
    if (!function || !check_invocable(services_, **function)) {
      refuse(502, "Internal Server Error");
      co_return;
    }
    functions::Invocation invocation = make_invocation(*function, config, *body);
    if (config.invoke_mode == "RESPONSE_STREAM") {
      co_await streamed(std::move(invocation));
    } else {
      co_await buffered(std::move(invocation));
    }
  }

  // Kept until serve() sends it: what a co_await is given must not be a temporary that holds strings (g++
  // 12).
  void refuse(int status, std::string text) { refusal_ = Refusal{status, std::move(text)}; }

  void deny(std::string text) {
    exchange_.set_header("x-amzn-ErrorType", "AccessDeniedException");
    refuse(403, std::move(text));
  }

  /// Without configured keys every signature is taken for right, as on the rest of the port.
  bool is_signed(std::string_view body) const {
    auto signature = aws::read_signature(exchange_.request());
    if (!signature || signature->service != "lambda") return false;
    if (services_.keys.empty()) return true;
    std::string hash = sha256(body).hex();
    return aws::verify_signature(exchange_.request(), *signature, services_.keys, {.sha256_hex = hash},
                                 to_unix_nanoseconds(now()) / 1'000'000'000)
        .has_value();
  }

  functions::Invocation make_invocation(functions::FunctionVersionPtr function, const UrlConfig& config,
                                        std::string_view body) {
    functions::Invocation invocation;
    invocation.invoked_arn = functions::function_arn(function->realm, function->name);
    if (!config.qualifier.empty()) invocation.invoked_arn.append(":").append(config.qualifier);
    std::string_view host = host_of(exchange_);
    std::string domain = fmt::format("{}.lambda-url.{}.on.aws", id_, function->realm.region);
    if (host.find(host_part) != std::string_view::npos) domain = host.substr(0, host.find(':'));
    bool iam = config.auth_type == "AWS_IAM";
    UrlRequest request{.head = exchange_.request(),
                       .target = target_of(exchange_),
                       .body = body,
                       .url_id = id_,
                       .domain = domain,
                       .request_id = caller_.request_id,
                       .source_ip = "127.0.0.1",
                       .account = iam ? std::string_view(function->realm.account) : std::string_view(),
                       .access_key = iam ? std::string_view(caller_.access_key) : std::string_view(),
                       .time_ms = to_unix_nanoseconds(now()) / 1'000'000};
    invocation.payload = url_event(request);
    invocation.request_id = caller_.request_id;
    invocation.source = functions::InvocationSource::Url;
    invocation.trace_header = exchange_.header("X-Amzn-Trace-Id").value_or("");
    invocation.function = std::move(function);
    return invocation;
  }

  void answer_error(const Error& error) {
    aws::AwsError answer = invocation_error(services_.invoker, error);
    Json body{{"Message", answer.message}};
    refuse(answer.status == 429 ? 429 : 502, to_json(body));
  }

  io::Task<void> buffered(functions::Invocation invocation) {
    auto outcome = co_await services_.invoker.invoke(std::move(invocation));
    if (!outcome) {
      answer_error(outcome.error());
      co_return;
    }
    if (!outcome->function_error.empty()) {
      refuse(502, "Internal Server Error");
      co_return;
    }
    UrlResponse response = url_response(outcome->payload);
    put_headers(exchange_, response, has_cors_);
    [[maybe_unused]] auto sent =
        co_await exchange_.respond(response.status, response.content_type, response.body);
  }

  io::Task<void> streamed(functions::Invocation invocation) {
    UrlStream stream(exchange_, has_cors_);
    invocation.stream = &stream;
    auto outcome = co_await services_.invoker.invoke(std::move(invocation));
    bool failed = !outcome || !outcome->function_error.empty() || stream.failed();
    if (exchange_.begun()) {
      if (failed) {
        exchange_.abort();
      } else {
        [[maybe_unused]] auto finished = co_await exchange_.finish();
      }
      co_return;
    }
    if (!outcome) {
      answer_error(outcome.error());
    } else if (failed) {
      refuse(502, "Internal Server Error");
    } else {
      // The function does not stream: its answer is taken as it is.
      [[maybe_unused]] auto sent =
          co_await exchange_.respond(200, "application/octet-stream", outcome->payload);
    }
  }

  FunctionServices& services_;
  io::Exchange& exchange_;
  AwsCaller caller_;
  std::string id_;
  bool has_cors_ = false;
  struct Refusal {
    int status;
    std::string text;
  };
  std::optional<Refusal> refusal_;
};

}  // namespace

std::optional<std::string> function_url_id(const io::Exchange& exchange) {
  std::string_view host = host_of(exchange);
  if (size_t at = host.find(host_part); at != std::string_view::npos && at > 0) {
    return std::string(host.substr(0, at));
  }
  std::string_view path = exchange.path();
  if (!path.starts_with(path_prefix)) return std::nullopt;
  path.remove_prefix(path_prefix.size());
  return std::string(path.substr(0, path.find('/')));
}

std::string function_url(const io::Exchange& exchange, uint16_t default_port, const functions::Realm& realm,
                         const std::string& id) {
  std::string_view host = host_of(exchange);
  size_t colon = host.rfind(':');
  bool has_port = colon != std::string_view::npos && colon + 1 < host.size() && host[colon + 1] >= '0' &&
                  host[colon + 1] <= '9' && !host.ends_with(']');
  std::string port = has_port ? std::string(host.substr(colon + 1)) : std::to_string(default_port);
  return fmt::format("http://{}.lambda-url.{}.localhost:{}/", id, realm.region, port);
}

io::Task<void> serve_function_url(FunctionServices& services, io::Exchange& exchange, AwsCaller caller,
                                  std::string url_id) {
  UrlCall call(services, exchange, std::move(caller), std::move(url_id));
  co_await call.serve();
}

}  // namespace berth::api::lambda
