#include "apps/buildkit/engine_client.h"

#include <curl/curl.h>

#include <memory>

#include "base/format.h"
#include "base/json.h"

namespace berth::buildkit {
namespace {

constexpr size_t max_body = size_t{64} << 20;

struct Transfer {
  EngineRequest& request;
  CURL* handle;
  EngineAnswer answer = {};
  Result<void> failed = {};
  long status() const {
    long code = 0;
    curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
};

size_t give_body(char* buffer, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  auto given = transfer.request.read(buffer, size * count);
  if (given) return *given;
  transfer.failed = std::move(given).error();
  return CURL_READFUNC_ABORT;
}

size_t take_answer(char* bytes, size_t size, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  std::string_view text(bytes, size * count);
  if (transfer.request.write && transfer.status() < 400) {
    if (auto written = transfer.request.write(text); !written) {
      transfer.failed = std::move(written);
      return 0;
    }
    return text.size();
  }
  if (transfer.answer.body.size() + text.size() > max_body) {
    transfer.failed =
        failure(Kind::Exhausted, "the engine's answer to {} is too long", transfer.request.path);
    return 0;
  }
  transfer.answer.body.append(text);
  return text.size();
}

int ask_cancelled(void* context, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& request = static_cast<Transfer*>(context)->request;
  return request.cancelled && request.cancelled() ? 1 : 0;
}

std::string escaped(CURL* handle, const std::string& text) {
  std::unique_ptr<char, decltype(&curl_free)> result(
      curl_easy_escape(handle, text.data(), static_cast<int>(text.size())), curl_free);
  return result ? std::string(result.get()) : std::string();
}

Error refusal(const EngineAnswer& answer) {
  Kind kind = answer.status == 404   ? Kind::NotFound
              : answer.status == 409 ? Kind::WrongState
              : answer.status == 400 ? Kind::InvalidArgument
              : answer.status == 403 ? Kind::Forbidden
                                     : Kind::Internal;
  auto object = parse_json(answer.body);
  auto message = object ? json_string(*object, "message") : Result<std::string>(std::string());
  if (message && !message->empty()) return Error(kind, *message);
  return failure(kind, "the engine answered {}", answer.status);
}

}  // namespace

Result<EngineAnswer> EngineClient::send(EngineRequest request) const {
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> handle(curl_easy_init(), curl_easy_cleanup);
  if (!handle) return Error(Kind::Exhausted, "no memory for a request");
  CURL* curl = handle.get();
  Transfer transfer{.request = request, .handle = curl};
  std::string url = "http://engine" + request.path;
  for (const auto& [name, value] : request.query)
    url += (url.find('?') == url.npos ? "?" : "&") + name + "=" + escaped(curl, value);
  curl_slist* raw = curl_slist_append(nullptr, "Expect:");
  for (const std::string& header : request.headers) raw = curl_slist_append(raw, header.c_str());
  if (!request.read && !request.body.empty()) raw = curl_slist_append(raw, "Content-Type: application/json");
  if (request.read) raw = curl_slist_append(raw, "Transfer-Encoding: chunked");
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(raw, curl_slist_free_all);
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket_path_.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, ask_cancelled);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  if (request.read) {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    if (request.method != "POST") curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    curl_easy_setopt(curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(curl, CURLOPT_READDATA, &transfer);
  } else if (request.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.c_str());
  } else {
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  CURLcode code = curl_easy_perform(curl);
  transfer.answer.status = static_cast<int>(transfer.status());
  if (!transfer.failed) return std::move(transfer.failed).error();
  if (code == CURLE_ABORTED_BY_CALLBACK) return Error(Kind::Cancelled, "build cancelled");
  if (code != CURLE_OK && transfer.answer.status < 400)
    return failure(Kind::Unavailable, "asking the engine for {}: {}", request.path, curl_easy_strerror(code));
  if (transfer.answer.status >= 400) return refusal(transfer.answer);
  return std::move(transfer.answer);
}

}  // namespace berth::buildkit
