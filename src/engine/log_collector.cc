// libcurl.
#include "engine/log_collector.h"

#include "base/format.h"
#include "base/id.h"
#include "io/curl_library.h"
#include "storage/deflate.h"

namespace berth::engine {
namespace {

constexpr size_t kMostOfAnswer = 512;

struct Freed {
  const io::CurlLibrary* library;
  void operator()(CURL* curl) const { library->easy_cleanup(curl); }
  void operator()(curl_slist* list) const { library->slist_free_all(list); }
};

/// What the collector says of a refusal, up to a length.
size_t on_answer(char* data, size_t, size_t count, void* context) {
  auto& answer = *static_cast<std::string*>(context);
  answer.append(data, std::min(count, kMostOfAnswer - answer.size()));
  return count;
}

std::string printable(std::string text) {
  for (char& c : text) {
    if (c < ' ' || c == 0x7f) c = ' ';
  }
  return text;
}

}  // namespace

struct LogCollector::State {
  RemoteLog remote;
  std::string channel = random_id();
  const io::CurlLibrary* library = nullptr;
  std::unique_ptr<CURL, Freed> curl{nullptr, Freed{nullptr}};

  Result<void> connect() {
    if (curl) return {};
    TRY(library, io::CurlLibrary::load());
    curl = std::unique_ptr<CURL, Freed>(library->easy_init(), Freed{library});
    if (!curl) return Error(Kind::Exhausted, "out of memory for a connection");
    return {};
  }

  std::unique_ptr<curl_slist, Freed> headers() const {
    std::unique_ptr<curl_slist, Freed> list(nullptr, Freed{library});
    auto add = [&](const std::string& line) {
      list.reset(library->slist_append(list.release(), line.c_str()));
    };
    add("Authorization: Splunk " + remote.splunk.token);
    add("Content-Type: application/json");
    add("Expect:");
    if (!remote.splunk.host.empty()) add("Host: " + remote.splunk.host);
    if (remote.compression == RemoteLog::Compression::Gzip) add("Content-Encoding: gzip");
    if (remote.splunk.acknowledged) {
      add(fmt::format("X-Splunk-Request-Channel: {}-{}-4{}-8{}-{}", channel.substr(0, 8),
                      channel.substr(8, 4), channel.substr(13, 3), channel.substr(17, 3),
                      channel.substr(20, 12)));
    }
    return list;
  }

  /// What a request needs until it is over.
  struct Lists {
    std::unique_ptr<curl_slist, Freed> headers;
    std::unique_ptr<curl_slist, Freed> route;
  };

  Lists lists() const {
    Lists result{headers(), std::unique_ptr<curl_slist, Freed>(nullptr, Freed{library})};
    if (!remote.splunk.route.empty())
      result.route.reset(library->slist_append(nullptr, remote.splunk.route.c_str()));
    return result;
  }

  void set_up(const std::string& body, const Lists& lists, std::string& answer, char* detail) const {
    const auto set = [&](CURLoption option, auto value) { library->easy_setopt(curl.get(), option, value); };
    library->easy_reset(curl.get());
    set(CURLOPT_URL, remote.splunk.url.c_str());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_CONNECTTIMEOUT, 10L);
    set(CURLOPT_TIMEOUT, 60L);
    set(CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
    set(CURLOPT_HTTPHEADER, lists.headers.get());
    set(CURLOPT_POST, 1L);
    set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(body.size()));
    set(CURLOPT_POSTFIELDS, body.data());
    set(CURLOPT_WRITEFUNCTION, &on_answer);
    set(CURLOPT_WRITEDATA, &answer);
    set(CURLOPT_ERRORBUFFER, detail);
    if (!remote.splunk.verifies) {
      set(CURLOPT_SSL_VERIFYPEER, 0L);
      set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!remote.splunk.authority_file.empty()) {
      // This one alone: the folder of the host's authorities would be asked besides.
      set(CURLOPT_CAINFO, remote.splunk.authority_file.c_str());
      set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
    }
    if (lists.route) set(CURLOPT_CONNECT_TO, lists.route.get());
  }
};

LogCollector::LogCollector(const RemoteLog& remote) : state_(std::make_unique<State>()) {
  state_->remote = remote;
}
LogCollector::~LogCollector() = default;

Result<void> LogCollector::post(const std::string& events) {
  CHECK(state_->connect());
  std::string body = events;
  if (state_->remote.compression == RemoteLog::Compression::Gzip) {
    TRY(body, storage::deflate_whole(events, storage::DeflateFormat::Gzip, state_->remote.compression_level));
  }
  const State::Lists lists = state_->lists();
  std::string answer;
  char detail[CURL_ERROR_SIZE] = {};
  state_->set_up(body, lists, answer, detail);
  const CURLcode code = state_->library->easy_perform(state_->curl.get());
  const std::string& url = state_->remote.target.address;
  if (code != CURLE_OK) {
    return failure(Kind::Unavailable, "POST {}: {}", url,
                   detail[0] != '\0' ? detail : state_->library->easy_strerror(code));
  }
  long status = 0;
  state_->library->easy_getinfo(state_->curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return {};
  return failure(status == 400 ? Kind::InvalidArgument : Kind::Unavailable, "POST {}: status {}: {}", url,
                 status, printable(answer));
}

}  // namespace berth::engine
