#include "api/lambda/package_api.h"

#include "api/aws/reply.h"
#include "base/format.h"
#include "base/json.h"
#include "functions/catalog/catalog.h"
#include "functions/limits.h"
#include "functions/packages/image_package.h"
#include "io/event_loop.h"
#include "io/http_server.h"

namespace berth::api {
namespace {

constexpr size_t document_bytes = 64 << 10;

io::Task<void> answer(io::Exchange& exchange, aws::Reply reply) {
  for (const auto& [name, value] : reply.headers) exchange.set_header(name, value);
  [[maybe_unused]] auto sent = co_await exchange.respond(reply.status, reply.content_type, reply.body);
}

struct ImageRequest {
  std::string function, qualifier, tag;
};
Result<ImageRequest> read_request(std::string_view body) {
  TRY(Json document, parse_json(body));
  ImageRequest request;
  TRY(request.function, json_string(document, "FunctionName"));
  TRY(request.qualifier, json_string(document, "Qualifier"));
  TRY(request.tag, json_string(document, "Tag"));
  if (request.tag.empty())
    return Error(Kind::InvalidArgument, "Tag is missing: the name that the image gets");
  return request;
}

}  // namespace

io::Task<void> PackageApi::handle(io::Exchange& exchange, AwsCaller caller) {
  if (exchange.method() == "POST" && exchange.path() == "/_berth/package/image") {
    co_await make_image(exchange, std::move(caller));
  } else if (exchange.method() == "GET" && exchange.path() == "/_berth/package/zip") {
    co_await send_zip(exchange);
  } else {
    aws::AwsError error{404, "UnknownOperationException",
                        "There are POST /_berth/package/image and GET /_berth/package/zip"};
    aws::Reply reply = aws::lambda_error_reply(error);
    co_await answer(exchange, std::move(reply));
  }
}

io::Task<void> PackageApi::make_image(io::Exchange& exchange, AwsCaller caller) {
  auto body = co_await exchange.read_body(document_bytes);
  auto request = body ? read_request(*body) : Result<ImageRequest>(body.error());
  auto tag = request ? spec::Reference::parse(request->tag) : Result<spec::Reference>(request.error());
  auto function = tag ? catalog_.resolve(caller.realm, request->function, request->qualifier)
                      : Result<functions::FunctionVersionPtr>(tag.error());
  if (!function) {
    aws::Reply reply = aws::lambda_error_reply(aws::from_error(function.error()));
    co_await answer(exchange, std::move(reply));
    co_return;
  }
  auto base = co_await bases_.ensure((*function)->runtime);
  auto base_id = base ? Digest::parse(base->image_id) : Result<Digest>(base.error());
  if (!base_id) {
    aws::Reply reply = aws::lambda_error_reply(aws::from_error(base_id.error()));
    co_await answer(exchange, std::move(reply));
    co_return;
  }
  auto work = [&] { return functions::make_function_image(images_, *base_id, **function, {*tag}); };
  auto image = co_await loop_.on_worker(work);
  if (!image) {
    aws::Reply reply = aws::lambda_error_reply(aws::from_error(image.error()));
    co_await answer(exchange, std::move(reply));
    co_return;
  }
  Json made{{"ImageId", image->str()}, {"Tag", request->tag}};
  aws::Reply reply = aws::json_reply(201, made);
  co_await answer(exchange, std::move(reply));
}

io::Task<void> PackageApi::send_zip(io::Exchange& exchange) {
  std::string reference(exchange.query().get_or("image", ""));
  storage::StringSink zip;
  auto work = [&] {
    return functions::zip_of_image(images_, reference, zip, functions::open_limits.zip_bytes);
  };
  auto function = co_await loop_.on_worker(work);
  if (!function) {
    aws::Reply reply = aws::lambda_error_reply(aws::from_error(function.error()));
    co_await answer(exchange, std::move(reply));
    co_return;
  }
  aws::Reply reply{.body = std::move(zip.text), .content_type = "application/zip"};
  reply.headers = {{"X-Berth-Runtime", function->runtime}, {"X-Berth-Handler", function->handler}};
  co_await answer(exchange, std::move(reply));
}

}  // namespace berth::api
