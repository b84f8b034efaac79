#include "api/lambda/sandboxes_api.h"

#include "api/aws/caller.h"
#include "api/aws/reply.h"
#include "base/json.h"
#include "functions/sandbox/sandbox_invoker.h"
#include "io/http_server.h"

namespace berth::api {
namespace {

constexpr size_t document_bytes = 64 << 10;

Json sandbox_json(const functions::SandboxInvoker::SandboxInfo& sandbox) {
  return {{"container", sandbox.container_id},  {"function", sandbox.function},
          {"version", sandbox.version},         {"account", sandbox.realm.account},
          {"region", sandbox.realm.region},     {"state", sandbox.state},
          {"initialized", sandbox.initialized}, {"events", sandbox.events}};
}

}  // namespace

io::Task<void> serve_sandboxes(FunctionServices& services, const functions::SandboxInvoker& invoker,
                               io::Exchange& exchange) {
  auto body = co_await exchange.read_body(document_bytes);
  if (!body && body.error().kind() == Kind::Cancelled) co_return;
  aws::Reply reply;
  if (auto allowed = aws::check_caller(services, exchange, body ? *body : std::string()); !allowed) {
    reply = aws::lambda_error_reply(allowed.error());
  } else if (exchange.method() != "GET") {
    reply = aws::lambda_error_reply({405, "MethodNotAllowedException", "There is GET /_berth/sandboxes"});
  } else {
    Json list = Json::array();
    for (const auto& sandbox : invoker.sandboxes()) list.push_back(sandbox_json(sandbox));
    Json document{{"prepared", invoker.prepared_bound()}, {"sandboxes", std::move(list)}};
    reply = aws::json_reply(200, document);
  }
  for (const auto& [name, value] : reply.headers) exchange.set_header(name, value);
  [[maybe_unused]] auto sent = co_await exchange.respond(reply.status, reply.content_type, reply.body);
}

}  // namespace berth::api
