// Blobs: downloads with ranges, and uploads: whole, streamed, in chunks, resumed, mounted.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "base/format.h"
#include "registry/server/server.h"

namespace berth::registry::server {
namespace {

constexpr size_t piece_size = size_t{1} << 20;

Refusal unknown_blob() {
  return {404, "BLOB_UNKNOWN", "blob unknown to registry"};
}

Refusal bad_digest(const Error& error) {
  return {400, "DIGEST_INVALID", error.message()};
}

/// "0-1023"; docker's for nothing yet is "0-0".
std::string range_text(uint64_t size) {
  return fmt::format("0-{}", size == 0 ? 0 : size - 1);
}

std::string upload_location(const Upload& upload) {
  return fmt::format("/v2/{}/blobs/uploads/{}", upload.repository(), upload.id());
}

void describe_upload(io::Exchange& exchange, const Upload& upload) {
  exchange.set_header("Location", upload_location(upload));
  exchange.set_header("Range", range_text(upload.size()));
  exchange.set_header("Docker-Upload-UUID", upload.id());
}

}  // namespace

io::Task<Outcome> Server::get_blob(Call& call) {
  auto digest = ContentDigest::parse(call.route.reference);
  if (!digest) co_return bad_digest(digest.error());
  auto look = [&] { return store_.blob(call.route.name, *digest); };
  auto found = co_await loop_.on_worker(look);
  bool missing = !found && found.error().kind() == Kind::NotFound;
  if (missing && settings_.upstream) {
    CO_CHECK(co_await fetch_blob(call.route.name, *digest));
    found = co_await loop_.on_worker(look);
  }
  if (!found && found.error().kind() == Kind::NotFound) co_return unknown_blob();
  if (!found) co_return found.error();
  auto open = [&] { return store_.open_content(found->content); };
  auto file = co_await loop_.on_worker(open);
  if (!file && file.error().kind() == Kind::NotFound) co_return unknown_blob();
  if (!file) co_return file.error();

  io::Exchange& exchange = call.exchange;
  std::string tag = fmt::format("\"{}\"", digest->str());
  exchange.set_header("Docker-Content-Digest", digest->str());
  exchange.set_header("ETag", tag);
  exchange.set_header("Accept-Ranges", "bytes");
  exchange.set_header("Cache-Control", "max-age=31536000");
  if (exchange.header("If-None-Match") == tag) co_return co_await respond(call, 304, "", "");
  RangeAnswer answer = choose_range(exchange.header("Range"), found->size);
  if (answer.kind == RangeAnswer::Kind::Unsatisfiable) {
    exchange.set_header("Content-Range", fmt::format("bytes */{}", found->size));
    co_return Refusal{416, "SIZE_INVALID", "the range lies behind the blob's end"};
  }
  bool part = answer.kind == RangeAnswer::Kind::Part;
  uint64_t first = part ? answer.range.first : 0;
  uint64_t length = part ? answer.range.length() : found->size;
  if (part) {
    exchange.set_header("Content-Range",
                        fmt::format("bytes {}-{}/{}", first, answer.range.last, found->size));
  }
  call.status = part ? 206 : 200;
  CO_CHECK(co_await exchange.begin_sized(call.status, "application/octet-stream", length));
  if (exchange.method() != "HEAD") CO_CHECK(co_await send_file(call, std::move(*file), first, length));
  CO_CHECK(co_await exchange.finish());
  co_return Outcome();
}

io::Task<Outcome> Server::send_file(Call& call, sys::UniqueFd file, uint64_t first, uint64_t length) {
  std::vector<char> buffer(static_cast<size_t>(std::min<uint64_t>(length, piece_size)));
  while (length > 0) {
    size_t wanted = static_cast<size_t>(std::min<uint64_t>(length, buffer.size()));
    auto read = [&] { return ::pread(file.get(), buffer.data(), wanted, static_cast<off_t>(first)); };
    ssize_t got = co_await loop_.on_worker(read);
    if (got <= 0) co_return Refusal{500, "UNKNOWN", "the blob's file is shorter than recorded"};
    CO_CHECK(co_await call.exchange.write({buffer.data(), static_cast<size_t>(got)}));
    first += static_cast<uint64_t>(got);
    length -= static_cast<uint64_t>(got);
    call.sent += static_cast<uint64_t>(got);
  }
  co_return Outcome();
}

io::Task<Outcome> Server::delete_blob(Call& call) {
  auto digest = ContentDigest::parse(call.route.reference);
  if (!digest) co_return bad_digest(digest.error());
  auto remove = [&] { return store_.remove_blob(call.route.name, *digest); };
  auto removed = co_await loop_.on_worker(remove);
  if (!removed && removed.error().kind() == Kind::NotFound) co_return unknown_blob();
  CO_CHECK(removed);
  co_return co_await respond(call, 202, "", "");
}

io::Task<Outcome> Server::mount(Call& call, ContentDigest digest, std::string from, bool& mounted) {
  auto link = [&]() -> Result<bool> {
    // Without a source any repository will do; tokens grant repositories one by one, so not with them.
    if (from.empty() && settings_.tokens) return false;
    if (settings_.quota) {
      TRY(uint64_t used, store_.used_bytes(call.route.name));
      if (used >= *settings_.quota) return false;  // the upload that follows is told why
    }
    return store_.mount(call.route.name, from, digest);
  };
  CO_TRY(mounted, co_await loop_.on_worker(link));
  co_return Outcome();
}

io::Task<Outcome> Server::start_upload(Call& call) {
  const io::HttpQuery& query = call.exchange.query();
  if (auto wanted = query.get("mount")) {
    auto digest = ContentDigest::parse(*wanted);
    if (!digest) co_return bad_digest(digest.error());
    std::string from(query.get_or("from", ""));
    if (!from.empty() && !is_repository_name(from))
      co_return Refusal{400, "NAME_INVALID", "invalid repository name"};
    bool mounted = false;
    CO_CHECK(co_await mount(call, *digest, from, mounted));
    if (mounted) {
      call.exchange.set_header("Location", fmt::format("/v2/{}/blobs/{}", call.route.name, digest->str()));
      call.exchange.set_header("Docker-Content-Digest", digest->str());
      co_return co_await respond(call, 201, "", "");
    }
  }
  if (auto algorithm = query.get("digest-algorithm")) {
    bool known = *algorithm == "sha256" || *algorithm == "sha512";
    if (!known) co_return Refusal{400, "DIGEST_INVALID", "the digest algorithm is not supported"};
  }
  std::optional<ContentDigest> whole;
  if (auto text = query.get("digest")) {
    auto digest = ContentDigest::parse(*text);
    if (!digest) co_return bad_digest(digest.error());
    whole = std::move(*digest);
  }
  auto start = [&] { return store_.start_upload(call.route.name); };
  CO_TRY(auto upload, co_await loop_.on_worker(start));
  if (whole) {
    Outcome received = co_await receive(call, *upload);
    if (received) co_return co_await finish(call, std::move(upload), std::move(*whole));
    // Nobody knows this upload's name: it cannot be resumed.
    auto cancel = [&] { return store_.cancel_upload(std::move(upload)); };
    CO_CHECK(co_await loop_.on_worker(cancel));
    co_return received;
  }
  describe_upload(call.exchange, *upload);
  upload.reset();
  co_return co_await respond(call, 202, "", "");
}

/// Appends the request's body. What came before a failure stays, so that the client can go on there.
io::Task<Outcome> Server::receive(Call& call, Upload& upload) {
  uint64_t room = UINT64_MAX;
  if (settings_.max_blob_size)
    room = *settings_.max_blob_size - std::min(*settings_.max_blob_size, upload.size());
  std::string_view limit = "the blob is larger than this registry takes";
  if (settings_.quota) {
    auto ask = [&] { return store_.used_bytes(call.route.name); };
    CO_TRY(uint64_t used, co_await loop_.on_worker(ask));
    uint64_t taken = used + upload.size();
    uint64_t left = *settings_.quota - std::min(*settings_.quota, taken);
    if (left < room) limit = "the repository's quota is used up";
    room = std::min(room, left);
  }
  if (call.exchange.request().content_length > room) co_return Refusal{413, "DENIED", std::string(limit)};
  std::vector<char> buffer;
  while (true) {
    size_t filled = 0;
    buffer.resize(std::max<size_t>(buffer.size(), 64 << 10));
    bool ended = false;
    std::optional<Error> broken;
    while (filled < buffer.size()) {
      auto got = co_await call.exchange.read_some(std::span(buffer).subspan(filled));
      if (!got) broken = got.error();
      ended = !got || *got == 0;
      if (ended) break;
      filled += *got;
    }
    if (filled > room) co_return Refusal{413, "DENIED", std::string(limit)};
    room -= filled;
    if (filled > 0) {
      auto append = [&] { return upload.append({buffer.data(), filled}); };
      CO_CHECK(co_await loop_.on_worker(append));
    }
    if (broken) co_return *broken;
    if (ended) co_return Outcome();
    if (buffer.size() < piece_size) buffer.resize(std::min(piece_size, buffer.size() * 4));
  }
}

io::Task<Outcome> Server::finish(Call& call, std::unique_ptr<Upload> upload, ContentDigest digest) {
  auto publish = [&]() -> Result<StoredBlob> {
    auto stored = store_.finish_upload(std::move(upload), digest);
    return stored;
  };
  std::string repository = upload->repository();
  std::string id = upload->id();
  auto stored = co_await loop_.on_worker(publish);
  if (!stored && stored.error().kind() == Kind::Corrupt) {
    // Bytes that are wrong do not become right: the client starts anew.
    auto drop = [&]() -> Result<void> {
      TRY(auto again, store_.claim_upload(repository, id));
      return store_.cancel_upload(std::move(again));
    };
    [[maybe_unused]] auto dropped = co_await loop_.on_worker(drop);
    co_return Refusal{400, "DIGEST_INVALID", stored.error().message()};
  }
  CO_CHECK(stored);
  call.exchange.set_header("Location", fmt::format("/v2/{}/blobs/{}", repository, digest.str()));
  call.exchange.set_header("Docker-Content-Digest", digest.str());
  co_return co_await respond(call, 201, "", "");
}

io::Task<Outcome> Server::get_upload(Call& call) {
  auto claim = [&] { return store_.claim_upload(call.route.name, call.route.reference); };
  auto upload = co_await loop_.on_worker(claim);
  if (!upload && upload.error().kind() == Kind::NotFound) {
    co_return Refusal{404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"};
  }
  if (!upload) co_return upload.error();
  describe_upload(call.exchange, **upload);
  upload->reset();
  co_return co_await respond(call, 204, "", "");
}

io::Task<Outcome> Server::patch_upload(Call& call) {
  auto claim = [&] { return store_.claim_upload(call.route.name, call.route.reference); };
  auto claimed = co_await loop_.on_worker(claim);
  if (!claimed && claimed.error().kind() == Kind::NotFound) {
    co_return Refusal{404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"};
  }
  if (!claimed) co_return claimed.error();
  Upload& upload = **claimed;
  uint64_t before = upload.size();
  std::optional<ByteRange> range;
  if (auto text = call.exchange.header("Content-Range")) {
    auto parsed = parse_content_range(*text);
    if (!parsed) co_return Refusal{400, "BLOB_UPLOAD_INVALID", parsed.error().message()};
    range = *parsed;
  }
  const io::HttpRequestHead& head = call.exchange.request();
  bool sized = head.body == io::HttpRequestHead::Body::Length;
  if (range && sized && head.content_length != range->length()) {
    co_return Refusal{400, "SIZE_INVALID", "Content-Range and Content-Length differ"};
  }
  if (range && range->first != before) {
    describe_upload(call.exchange, upload);
    co_return Refusal{416, "BLOB_UPLOAD_INVALID",
                      fmt::format("the chunk begins at {} and the upload is at {}", range->first, before)};
  }
  CO_CHECK(co_await receive(call, upload));
  if (range && upload.size() - before != range->length()) {
    auto cut = [&] { return upload.cut(before); };
    CO_CHECK(co_await loop_.on_worker(cut));
    co_return Refusal{400, "SIZE_INVALID", "the chunk is not as long as its Content-Range"};
  }
  describe_upload(call.exchange, upload);
  claimed->reset();
  co_return co_await respond(call, 202, "", "");
}

io::Task<Outcome> Server::put_upload(Call& call) {
  auto text = call.exchange.query().get("digest");
  if (!text) co_return Refusal{400, "DIGEST_INVALID", "the digest is missing: PUT ...?digest=sha256:..."};
  auto digest = ContentDigest::parse(*text);
  if (!digest) co_return bad_digest(digest.error());
  auto claim = [&] { return store_.claim_upload(call.route.name, call.route.reference); };
  auto claimed = co_await loop_.on_worker(claim);
  if (!claimed && claimed.error().kind() == Kind::NotFound) {
    co_return Refusal{404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"};
  }
  if (!claimed) co_return claimed.error();
  if (auto range_text = call.exchange.header("Content-Range")) {
    auto range = parse_content_range(*range_text);
    if (!range) co_return Refusal{400, "BLOB_UPLOAD_INVALID", range.error().message()};
    if (range->first != (*claimed)->size()) {
      describe_upload(call.exchange, **claimed);
      co_return Refusal{416, "BLOB_UPLOAD_INVALID", "the last chunk is out of order"};
    }
  }
  CO_CHECK(co_await receive(call, **claimed));
  co_return co_await finish(call, std::move(*claimed), std::move(*digest));
}

io::Task<Outcome> Server::cancel_upload(Call& call) {
  auto cancel = [&]() -> Result<void> {
    TRY(auto upload, store_.claim_upload(call.route.name, call.route.reference));
    return store_.cancel_upload(std::move(upload));
  };
  auto cancelled = co_await loop_.on_worker(cancel);
  if (!cancelled && cancelled.error().kind() == Kind::NotFound) {
    co_return Refusal{404, "BLOB_UPLOAD_UNKNOWN", "blob upload unknown to registry"};
  }
  CO_CHECK(cancelled);
  co_return co_await respond(call, 204, "", "");
}

/// The pull-through cache's miss: the blob comes in whole, is verified and kept, and is then served. However
/// many ask for it, it is fetched once.
io::Task<Outcome> Server::fetch_blob(const std::string& repository, const ContentDigest& digest) {
  std::string key = fmt::format("{} {}", repository, digest.str());
  bool waited = false;
  while (fetching_.contains(key)) {
    waited = true;
    co_await fetched_.wait();
  }
  if (waited) {
    auto look = [&] { return store_.blob(repository, digest).has_value(); };
    bool here = co_await loop_.on_worker(look);
    if (here) co_return Outcome();
  }
  struct Mark {
    Server& server;
    const std::string& key;
    Mark(Server& of, const std::string& what) : server(of), key(what) { server.fetching_.insert(key); }
    ~Mark() {
      server.fetching_.erase(key);
      server.fetched_.notify_all();
    }
  } mark(*this, key);
  Store* store = &store_;
  auto upstream = settings_.upstream;
  uint64_t most = settings_.max_blob_size.value_or(UINT64_MAX);
  std::function<Result<void>(std::stop_token)> fetch = [store, upstream, most, repository,
                                                        digest](std::stop_token stop) -> Result<void> {
    TRY(auto upload, store->start_upload(repository));
    auto append = [&](std::string_view bytes) -> Result<void> {
      if (bytes.size() > most - std::min(most, upload->size()))
        return Error(Kind::Exhausted, "the blob is larger than this registry takes");
      return upload->append(bytes);
    };
    auto fetched = upstream->blob(repository, digest, append, std::move(stop));
    if (!fetched) {
      CHECK(store->cancel_upload(std::move(upload)));
      return std::move(fetched).error();
    }
    CHECK(store->finish_upload(std::move(upload), digest));
    return {};
  };
  auto fetched = co_await upstream_threads_.run(std::move(fetch));
  if (!fetched && fetched.error().kind() == Kind::NotFound) co_return unknown_blob();
  CO_CHECK(fetched);
  co_return Outcome();
}

}  // namespace berth::registry::server
