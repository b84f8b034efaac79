// Manifests, tags, catalog and referrers.
#include "base/format.h"
#include "base/json.h"
#include "registry/client/url.h"
#include "registry/server/server.h"
#include "spec/image.h"
#include "spec/reference.h"

namespace berth::registry::server {
namespace {

constexpr size_t max_page = 10'000;
constexpr size_t default_page = 1'000;
constexpr size_t max_tag_parameters = 10;
/// An index of referrers is a manifest and as large as one at most.
constexpr size_t max_referrers_bytes = 3u << 20;

Refusal unknown_manifest() {
  return {404, "MANIFEST_UNKNOWN", "manifest unknown to registry"};
}

/// "sha256:..." is a digest; everything else must be a tag.
struct ManifestName {
  std::optional<ContentDigest> digest = {};
  std::string tag = {};
};
std::expected<ManifestName, Refusal> parse_name(const std::string& reference) {
  if (reference.find(':') != std::string::npos) {
    auto digest = ContentDigest::parse(reference);
    if (!digest) return std::unexpected(Refusal{400, "DIGEST_INVALID", digest.error().message()});
    return ManifestName{.digest = std::move(*digest)};
  }
  if (!spec::is_valid_tag(reference)) return std::unexpected(Refusal{400, "TAG_INVALID", "invalid tag"});
  return ManifestName{.tag = reference};
}

/// What cannot be a tag names nothing: 404 to those who ask for it, 400 to those who push it.
bool is_no_tag(const Refusal& refusal) {
  return refusal.code == "TAG_INVALID";
}

std::string names_json(std::string_view key, const std::vector<std::string>& names,
                       std::string_view repository) {
  Json document = {{std::string(key), names}};
  if (!repository.empty()) document["name"] = repository;
  return to_json(document);
}

}  // namespace

io::Task<Outcome> Server::get_manifest(Call& call) {
  auto name = parse_name(call.route.reference);
  if (!name) co_return is_no_tag(name.error()) ? unknown_manifest() : name.error();
  auto look = [&] {
    return name->digest ? store_.manifest(call.route.name, *name->digest)
                        : store_.tagged(call.route.name, name->tag);
  };
  if (settings_.upstream) CO_CHECK(co_await fetch_manifest(call.route.name, call.route.reference));
  auto found = co_await loop_.on_worker(look);
  if (!found && found.error().kind() == Kind::NotFound) co_return unknown_manifest();
  CO_CHECK(found);
  auto read = [&] { return store_.read_manifest(*found); };
  CO_TRY(std::string body, co_await loop_.on_worker(read));
  std::string tag = fmt::format("\"{}\"", found->digest.str());
  call.exchange.set_header("Docker-Content-Digest", found->digest.str());
  call.exchange.set_header("ETag", tag);
  if (call.exchange.header("If-None-Match") == tag) co_return co_await respond(call, 304, "", "");
  co_return co_await respond(call, 200, found->media_type, body);
}

io::Task<Outcome> Server::put_manifest(Call& call) {
  auto name = parse_name(call.route.reference);
  if (!name) co_return name.error();
  std::vector<std::string> tags;
  if (!name->tag.empty()) tags.push_back(name->tag);
  for (std::string_view tag : call.exchange.query().all("tag")) {
    if (!spec::is_valid_tag(tag) || tags.size() >= max_tag_parameters)
      co_return Refusal{400, "TAG_INVALID", "invalid tag"};
    tags.emplace_back(tag);
  }
  auto received = co_await call.exchange.read_body(max_manifest_bytes);
  if (!received && received.error().kind() == Kind::InvalidArgument) {
    co_return Refusal{413, "SIZE_INVALID",
                      fmt::format("a manifest holds at most {} bytes", max_manifest_bytes)};
  }
  CO_CHECK(received);
  const std::string& body = *received;
  auto manifest = check_manifest(body, call.exchange.header("Content-Type").value_or(""));
  if (!manifest) co_return Refusal{400, "MANIFEST_INVALID", manifest.error().message()};
  auto algorithm = name->digest ? name->digest->algorithm() : ContentDigest::Algorithm::Sha256;
  ContentDigest digest = digest_of(algorithm, body);
  if (name->digest && *name->digest != digest) {
    co_return Refusal{400, "DIGEST_INVALID",
                      fmt::format("provided digest did not match uploaded content: it is {}", digest.str())};
  }
  auto store = [&]() -> Result<Outcome> {
    TRY(auto missing, store_.find_missing(call.route.name, *manifest));
    if (missing && missing->wrong_size) {
      return Outcome(
          Refusal{400, "MANIFEST_INVALID",
                  fmt::format("{} has another size than the manifest says", missing->link.digest.str())});
    }
    if (missing) {
      return Outcome(Refusal{404, "MANIFEST_BLOB_UNKNOWN",
                             fmt::format("the repository does not have {}", missing->link.digest.str())});
    }
    if (settings_.quota) {
      TRY(uint64_t used, store_.used_bytes(call.route.name));
      if (used + body.size() > *settings_.quota)
        return Outcome(Refusal{413, "DENIED", "the repository's quota is used up"});
    }
    CHECK(store_.put_manifest(call.route.name, digest, body, *manifest, tags));
    return Outcome();
  };
  CO_TRY(Outcome stored, co_await loop_.on_worker(store));
  if (!stored) co_return stored;
  call.exchange.set_header("Location", fmt::format("/v2/{}/manifests/{}", call.route.name, digest.str()));
  call.exchange.set_header("Docker-Content-Digest", digest.str());
  if (manifest->subject) call.exchange.set_header("OCI-Subject", manifest->subject->str());
  for (const std::string& tag : tags) call.exchange.set_header("OCI-Tag", tag);
  co_return co_await respond(call, 201, "", "");
}

io::Task<Outcome> Server::delete_manifest(Call& call) {
  auto name = parse_name(call.route.reference);
  if (!name) co_return is_no_tag(name.error()) ? unknown_manifest() : name.error();
  auto remove = [&] {
    return name->digest ? store_.remove_manifest(call.route.name, *name->digest)
                        : store_.remove_tag(call.route.name, name->tag);
  };
  auto removed = co_await loop_.on_worker(remove);
  if (!removed && removed.error().kind() == Kind::NotFound) co_return unknown_manifest();
  CO_CHECK(removed);
  co_return co_await respond(call, 202, "", "");
}

io::Task<Outcome> Server::list_tags(Call& call) {
  const io::HttpQuery& query = call.exchange.query();
  auto count = parse_page_size(query.get("n"), max_page, max_page);
  if (!count) co_return Refusal{400, "PAGINATION_NUMBER_INVALID", count.error().message()};
  std::string last(query.get_or("last", ""));
  auto list = [&] { return store_.tags(call.route.name, last, *count); };
  auto page = co_await loop_.on_worker(list);
  if (!page && page.error().kind() == Kind::NotFound) {
    co_return Refusal{404, "NAME_UNKNOWN", "repository name not known to registry"};
  }
  CO_CHECK(page);
  if (page->more && !page->names.empty()) {
    std::string path = fmt::format("/v2/{}/tags/list", call.route.name);
    call.exchange.set_header("Link", next_link(path, fmt::format("n={}&", *count), page->names.back()));
  }
  std::string body = names_json("tags", page->names, call.route.name);
  co_return co_await respond(call, 200, "application/json", body);
}

io::Task<Outcome> Server::list_repositories(Call& call) {
  const io::HttpQuery& query = call.exchange.query();
  auto count = parse_page_size(query.get("n"), default_page, max_page);
  if (!count) co_return Refusal{400, "PAGINATION_NUMBER_INVALID", count.error().message()};
  std::string last(query.get_or("last", ""));
  auto list = [&] { return store_.repositories(last, *count); };
  CO_TRY(Page page, co_await loop_.on_worker(list));
  if (page.more && !page.names.empty()) {
    call.exchange.set_header("Link",
                             next_link("/v2/_catalog", fmt::format("n={}&", *count), page.names.back()));
  }
  std::string body = names_json("repositories", page.names, "");
  co_return co_await respond(call, 200, "application/json", body);
}

io::Task<Outcome> Server::list_referrers(Call& call) {
  auto subject = ContentDigest::parse(call.route.reference);
  if (!subject) co_return Refusal{400, "DIGEST_INVALID", subject.error().message()};
  const io::HttpQuery& query = call.exchange.query();
  std::string artifact_type(query.get_or("artifactType", ""));
  std::string last(query.get_or("last", ""));
  auto list = [&] {
    return store_.referrers(call.route.name, *subject, artifact_type, last, default_page + 1);
  };
  CO_TRY(auto referrers, co_await loop_.on_worker(list));
  Json manifests = Json::array();
  size_t bytes = 0;
  std::string next;
  for (const Referrer& referrer : referrers) {
    bytes += 512 + referrer.media_type.size() + referrer.artifact_type.size() + referrer.annotations.size();
    if (!manifests.empty() && (manifests.size() == default_page || bytes > max_referrers_bytes)) {
      next = manifests.back()["digest"].get<std::string>();
      break;
    }
    Json entry = {{"mediaType", referrer.media_type}, {"digest", referrer.digest}, {"size", referrer.size}};
    if (!referrer.artifact_type.empty()) entry["artifactType"] = referrer.artifact_type;
    if (!referrer.annotations.empty()) {
      if (auto annotations = parse_json(referrer.annotations)) entry["annotations"] = std::move(*annotations);
    }
    manifests.push_back(std::move(entry));
  }
  std::string filter;
  if (!artifact_type.empty()) {
    call.exchange.set_header("OCI-Filters-Applied", "artifactType");
    filter = fmt::format("artifactType={}&", percent_encode(artifact_type));
  }
  if (!next.empty()) {
    std::string path = fmt::format("/v2/{}/referrers/{}", call.route.name, subject->str());
    call.exchange.set_header("Link", next_link(path, filter, next));
  }
  Json index = {
      {"schemaVersion", 2}, {"mediaType", spec::media_type::oci_index}, {"manifests", std::move(manifests)}};
  std::string body = to_json(index);
  co_return co_await respond(call, 200, spec::media_type::oci_index, body);
}

/// The pull-through cache: a tag is asked of the other registry each time, and what it names is fetched when
/// it is not here. Where the other does not answer, what is here has to do.
io::Task<Outcome> Server::fetch_manifest(const std::string& repository, const std::string& reference) {
  Store* store = &store_;
  auto upstream = settings_.upstream;
  std::function<Result<void>(std::stop_token)> fetch = [store, upstream, repository,
                                                        reference](std::stop_token stop) -> Result<void> {
    bool is_tag = reference.find(':') == std::string::npos;
    if (is_tag) {
      TRY(std::string named, upstream->resolve(repository, reference, stop));
      auto here = store->tagged(repository, reference);
      if (here && here->digest.str() == named) return {};
    } else {
      TRY(ContentDigest digest, ContentDigest::parse(reference));
      if (store->manifest(repository, digest)) return {};
    }
    TRY(Upstream::Document document, upstream->manifest(repository, reference, stop));
    TRY(CheckedManifest manifest, check_manifest(document.body, document.media_type));
    ContentDigest digest = digest_of(ContentDigest::Algorithm::Sha256, document.body);
    if (!is_tag) {
      TRY(ContentDigest wanted, ContentDigest::parse(reference));
      digest = digest_of(wanted.algorithm(), document.body);
      if (digest != wanted)
        return failure(Kind::Corrupt, "{}: the other registry sent something else", reference);
    }
    std::vector<std::string> tags;
    if (is_tag) tags.push_back(reference);
    return store->put_manifest(repository, digest, document.body, manifest, tags);
  };
  auto fetched = co_await upstream_threads_.run(std::move(fetch));
  if (fetched) co_return Outcome();
  Kind kind = fetched.error().kind();
  bool may_have_it = kind == Kind::NotFound || kind == Kind::Unavailable || kind == Kind::DeadlineExceeded;
  if (may_have_it) co_return Outcome();
  co_return fetched.error();
}

}  // namespace berth::registry::server
