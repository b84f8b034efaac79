// libcurl.
#include "build/fetch.h"

#include <memory>

#include "base/format.h"
#include "base/sha256.h"
#include "io/curl_library.h"
#include "spec/url_credentials.h"

namespace berth::build {
namespace {

using io::CurlLibrary;

struct CurlDeleter {
  const CurlLibrary* library;
  void operator()(CURL* curl) const { library->easy_cleanup(curl); }
  void operator()(curl_slist* list) const { library->slist_free_all(list); }
};

/// State of one transfer, as the callbacks see it.
struct Transfer {
  const FetchRequest& request;
  storage::ByteSink& sink;
  Sha256 hash;
  uint64_t size = 0;
  FetchResult result;
  std::optional<Error> error = {};
};

size_t on_body(char* data, size_t, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  transfer.size += count;
  if (transfer.size > transfer.request.max_bytes) {
    transfer.error = failure(Kind::Exhausted, "{} is larger than {} bytes",
                             spec::without_credentials(transfer.request.url), transfer.request.max_bytes);
    return 0;
  }
  const std::string_view bytes(data, count);
  transfer.hash.update(bytes);
  auto written = transfer.sink.write(bytes);
  if (written) return count;
  transfer.error = std::move(written).error();
  return 0;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == '\r' || text.back() == '\n' || text.back() == ' '))
    text.remove_suffix(1);
  return text;
}

bool is_named(std::string_view line, std::string_view name) {
  if (line.size() <= name.size() || line[name.size()] != ':') return false;
  for (size_t i = 0; i < name.size(); ++i) {
    const char c = line[i] >= 'A' && line[i] <= 'Z' ? static_cast<char>(line[i] + 32) : line[i];
    if (c != name[i]) return false;
  }
  return true;
}

size_t on_header(char* data, size_t, size_t count, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  const std::string_view line(data, count);
  constexpr size_t longest = 1024;
  if (line.starts_with("HTTP/")) {  // a new answer, after a redirect
    transfer.result.etag.clear();
    transfer.result.last_modified.clear();
  } else if (count > longest) {
    return count;
  } else if (is_named(line, "etag")) {
    transfer.result.etag = trimmed(line.substr(5));
  } else if (is_named(line, "last-modified")) {
    transfer.result.last_modified = trimmed(line.substr(14));
  }
  return count;
}

int on_progress(void* context, curl_off_t total, curl_off_t current, curl_off_t, curl_off_t) {
  auto& transfer = *static_cast<Transfer*>(context);
  if (transfer.request.stop.stop_requested()) return 1;
  if (transfer.request.progress && current > 0) {
    transfer.request.progress(static_cast<uint64_t>(current), static_cast<uint64_t>(total));
  }
  return 0;
}

void set_up(const CurlLibrary& library, CURL* curl, Transfer& transfer, curl_slist* headers) {
  const auto set = [&](CURLoption option, auto value) { library.easy_setopt(curl, option, value); };
  set(CURLOPT_URL, transfer.request.url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  // A transfer that moves less than this for a minute has stalled.
  set(CURLOPT_LOW_SPEED_LIMIT, 16L);
  set(CURLOPT_LOW_SPEED_TIME, 60L);
  set(CURLOPT_FILETIME, 1L);
  set(CURLOPT_USERAGENT, "berth/" BERTH_VERSION);
  set(CURLOPT_HTTPHEADER, headers);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &transfer);
  set(CURLOPT_HEADERFUNCTION, &on_header);
  set(CURLOPT_HEADERDATA, &transfer);
  set(CURLOPT_XFERINFOFUNCTION, &on_progress);
  set(CURLOPT_XFERINFODATA, &transfer);
  set(CURLOPT_NOPROGRESS, 0L);
  // The body of an error page is no content; without this it would be written before the status is known.
  set(CURLOPT_FAILONERROR, 1L);
}

/// "example.org" of "https://example.org:80/x".
std::string_view host_of(std::string_view url) {
  const size_t scheme = url.find("://");
  if (scheme != url.npos) url.remove_prefix(scheme + 3);
  return url.substr(0, url.find_first_of(":/?#"));
}

Error transfer_error(const CurlLibrary& library, const Transfer& transfer, CURLcode code, long status,
                     const char* detail) {
  if (transfer.error) return *transfer.error;
  if (transfer.request.stop.stop_requested()) return Error(Kind::Cancelled, "build cancelled");
  const std::string url = spec::without_credentials(transfer.request.url);
  if (code == CURLE_HTTP_RETURNED_ERROR) {
    const Kind kind = status == 404 || status == 410 ? Kind::NotFound : Kind::Unavailable;
    return failure(kind, "failed to GET {} with status {}", url, status);
  }
  // docker's words for it, which its tests and scripts look for.
  if (code == CURLE_COULDNT_RESOLVE_HOST)
    return failure(Kind::Unavailable, "failed to GET {}: dial tcp: lookup {}: no such host", url,
                   host_of(url));
  return failure(Kind::Unavailable, "failed to GET {}: {}", url,
                 detail[0] != '\0' ? detail : library.easy_strerror(code));
}

}  // namespace

Result<FetchResult> fetch(const FetchRequest& request, storage::ByteSink& sink) {
  TRY(const CurlLibrary* library, CurlLibrary::load());
  const std::unique_ptr<CURL, CurlDeleter> curl(library->easy_init(), CurlDeleter{library});
  if (!curl) return Error(Kind::Exhausted, "out of memory for a download");
  Transfer transfer{.request = request, .sink = sink, .hash = {}, .result = {.content = sha256("")}};
  std::unique_ptr<curl_slist, CurlDeleter> headers(nullptr, CurlDeleter{library});
  const auto add_header = [&headers, library](const std::string& line) {
    headers.reset(library->slist_append(headers.release(), line.c_str()));
  };
  if (!request.etag.empty()) add_header("If-None-Match: " + request.etag);
  if (request.etag.empty() && !request.last_modified.empty())
    add_header("If-Modified-Since: " + request.last_modified);
  set_up(*library, curl.get(), transfer, headers.get());
  char detail[CURL_ERROR_SIZE] = {};
  library->easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);

  const CURLcode code = library->easy_perform(curl.get());
  long status = 0;
  library->easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (code != CURLE_OK) return transfer_error(*library, transfer, code, status, detail);
  FetchResult& result = transfer.result;
  result.not_modified = status == 304;
  if (status != 200 && !result.not_modified)
    return transfer_error(*library, transfer, CURLE_HTTP_RETURNED_ERROR, status, detail);
  curl_off_t filetime = -1;
  library->easy_getinfo(curl.get(), CURLINFO_FILETIME_T, &filetime);
  result.mtime = filetime > 0 ? filetime : 0;
  const char* type = nullptr;
  library->easy_getinfo(curl.get(), CURLINFO_CONTENT_TYPE, &type);
  if (type != nullptr) result.content_type = type;
  result.size = transfer.size;
  result.content = transfer.hash.finish();
  return std::move(result);
}

}  // namespace berth::build
