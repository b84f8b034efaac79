// Requests and the checks of their answers.
#include "registry/client/repository.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "spec/reference.h"

namespace berth::registry {
namespace {

constexpr size_t max_tags = 100'000;
constexpr size_t max_tags_page = size_t{8} << 20;

std::string accept_manifests() {
  return fmt::format("Accept: {}, {}, {}, {}", spec::media_type::oci_index,
                     spec::media_type::docker_manifest_list, spec::media_type::oci_manifest,
                     spec::media_type::docker_manifest);
}

Kind kind_of(long status, const std::string& code) {
  if (status == 404) return Kind::NotFound;
  if (status == 401 || code == "UNAUTHORIZED") return Kind::Unauthenticated;
  if (status == 403 || code == "DENIED") return Kind::Forbidden;
  if (status >= 400 && status < 500 && status != 429) return Kind::InvalidArgument;
  return Kind::Unavailable;
}

/// "application/json; charset=utf-8" without its parameters.
std::string media_type_of(const HttpAnswer& answer) {
  std::string_view text = answer.header("content-type");
  text = text.substr(0, text.find(';'));
  while (text.ends_with(' ')) text.remove_suffix(1);
  return std::string(text);
}

std::optional<Digest> digest_header(const HttpAnswer& answer) {
  auto digest = Digest::parse(answer.header("docker-content-digest"));
  return digest ? std::optional(std::move(*digest)) : std::nullopt;
}

/// <...>; rel="next" of a Link header.
std::string next_link(const HttpAnswer& answer) {
  std::string_view link = answer.header("link");
  size_t open = link.find('<');
  size_t close = link.find('>');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return {};
  if (link.find("next", close) == std::string_view::npos) return {};
  return std::string(link.substr(open + 1, close - open - 1));
}

}  // namespace

std::string Repository::target(const std::string& rest) const {
  return "v2/" + session_.repository() + "/" + rest;
}

std::string Repository::blob_target(const Digest& digest) const {
  return target("blobs/" + digest.str());
}

HttpOutcome Repository::send(const Session::Request& request) {
  failure_ = {};
  return session_.send(request);
}

Error Repository::fail(const HttpOutcome& outcome) {
  failure_.trouble = outcome.trouble;
  failure_.status = outcome.answer.status;
  if (outcome.error) return *outcome.error;
  const HttpAnswer& answer = outcome.answer;
  failure_.error = parse_registry_error(answer.status, answer.body, answer.header_list("www-authenticate"));
  return Error(kind_of(answer.status, failure_.error.code), failure_.error.str());
}

Result<ManifestHead> Repository::head_manifest(const std::string& reference) {
  HttpOutcome outcome =
      send({.method = "HEAD", .target = target("manifests/" + reference), .headers = {accept_manifests()}});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 200) return fail(outcome);
  ManifestHead head{.digest = digest_header(outcome.answer), .media_type = media_type_of(outcome.answer)};
  std::string_view length = outcome.answer.header("content-length");
  std::from_chars(length.data(), length.data() + length.size(), head.size);
  return head;
}

Result<RemoteManifest> Repository::get_manifest(const std::string& reference,
                                                const std::optional<Digest>& expected) {
  HttpOutcome outcome = send({.target = target("manifests/" + reference),
                              .headers = {accept_manifests()},
                              .max_body = max_manifest_bytes});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 200) return fail(outcome);
  RemoteManifest manifest{.bytes = std::move(outcome.answer.body),
                          .media_type = media_type_of(outcome.answer),
                          .digest = sha256("")};
  manifest.digest = sha256(manifest.bytes);
  if (expected && manifest.digest != *expected) {
    return failure(Kind::Corrupt, "manifest verification failed for digest {}: the registry sent {}",
                   expected->str(), manifest.digest.str());
  }
  TRY(Json json, parse_json(manifest.bytes, {.max_bytes = max_manifest_bytes}));
  TRY(std::string own_type, json_string(json, "mediaType"));
  bool known = spec::is_index_type(manifest.media_type) || spec::is_manifest_type(manifest.media_type);
  if (!own_type.empty() && known && own_type != manifest.media_type) {
    return failure(Kind::InvalidArgument,
                   "the registry calls this manifest \"{}\", and the manifest itself \"{}\": refused",
                   manifest.media_type, one_line(own_type, 200));
  }
  if (!own_type.empty()) manifest.media_type = own_type;
  if (json.contains("fsLayers") ||
      manifest.media_type.find("docker.distribution.manifest.v1+") != std::string::npos) {
    return Error(
        Kind::Unsupported,
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are no longer supported: "
        "push the image again with a newer tool");
  }
  return manifest;
}

Result<std::string> Repository::get_blob(const spec::Descriptor& descriptor, size_t max_bytes) {
  if (descriptor.size > static_cast<int64_t>(max_bytes)) {
    return failure(Kind::Exhausted, "blob {} of {} bytes is larger than the {} bytes that are accepted",
                   descriptor.digest.str(), descriptor.size, max_bytes);
  }
  HttpOutcome outcome = send({.target = blob_target(descriptor.digest), .max_body = max_bytes});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 200) return fail(outcome);
  std::string bytes = std::move(outcome.answer.body);
  if (sha256(bytes) != descriptor.digest || static_cast<int64_t>(bytes.size()) != descriptor.size)
    return failure(Kind::Corrupt, "blob {} does not match its digest: the registry sent other bytes",
                   descriptor.digest.str());
  return bytes;
}

Result<std::vector<std::string>> Repository::tags() {
  std::vector<std::string> all;
  std::set<std::string> seen;
  std::string next = target("tags/list");
  while (!next.empty()) {
    if (!seen.insert(next).second || seen.size() > 1000)
      return Error(Kind::InvalidArgument, "the registry's pages of tags lead in a circle");
    HttpOutcome outcome = send({.target = next, .max_body = max_tags_page});
    if (outcome.trouble != Trouble::None || outcome.answer.status != 200) return fail(outcome);
    TRY(Json json, parse_json(outcome.answer.body));
    TRY(std::vector<std::string> page, json_strings(json, "tags"));
    for (std::string& tag : page) {
      if (all.size() >= max_tags) return failure(Kind::Exhausted, "more than {} tags", max_tags);
      if (spec::is_valid_tag(tag)) all.push_back(std::move(tag));
    }
    std::string link = next_link(outcome.answer);
    if (link.empty()) break;
    TRY(Url page_url, session_.endpoint().base.resolve(next));
    TRY(Url next_url, page_url.resolve(link));
    if (!next_url.same_origin(session_.endpoint().base))
      return Error(Kind::InvalidArgument, "the registry's next page of tags is on another host: refused");
    next = next_url.str();
  }
  return all;
}

Result<spec::Index> Repository::referrers(const Digest& digest, std::string_view artifact_type) {
  std::string list =
      with_query(target("referrers/" + digest.str()), "artifactType", std::string(artifact_type));
  HttpOutcome outcome = send({.target = list,
                              .headers = {fmt::format("Accept: {}", spec::media_type::oci_index)},
                              .max_body = max_manifest_bytes});
  if (outcome.trouble == Trouble::None && outcome.answer.status == 404) {
    outcome = send({.target = target("manifests/sha256-" + digest.hex()),
                    .headers = {fmt::format("Accept: {}", spec::media_type::oci_index)},
                    .max_body = max_manifest_bytes});
    if (outcome.trouble == Trouble::None && outcome.answer.status == 404) return spec::Index{};
  }
  if (outcome.trouble != Trouble::None || outcome.answer.status != 200) return fail(outcome);
  return spec::parse_index(outcome.answer.body);
}

Result<bool> Repository::has_blob(const Digest& digest) {
  HttpOutcome outcome = send({.method = "HEAD", .target = blob_target(digest)});
  if (outcome.trouble == Trouble::None && outcome.answer.status == 200) return true;
  if (outcome.trouble == Trouble::None && outcome.answer.status == 404) return false;
  return fail(outcome);
}

Result<std::string> Repository::location_of(const HttpAnswer& answer) {
  std::string_view location = answer.header("location");
  if (location.empty())
    return Error(Kind::InvalidArgument, "the registry's answer to an upload has no Location");
  TRY(Url base, session_.endpoint().base.resolve(target("blobs/uploads/")));
  TRY(Url url, base.resolve(location));
  // docker-registry behind a TLS proxy names itself by http; the very host that we speak to is meant.
  if (url.host == base.host && base.is_https() && !url.is_https()) {
    url.scheme = base.scheme;
    url.port = base.port;
  }
  return url.str();
}

Result<Repository::UploadStart> Repository::start_upload(const std::optional<Digest>& mount,
                                                         const std::string& from) {
  std::string start = target("blobs/uploads/");
  if (mount) {
    session_.also_from(from);
    start = with_query(with_query(start, "mount", mount->str()), "from", from);
  }
  HttpOutcome outcome = send({.method = "POST", .target = start});
  if (outcome.trouble == Trouble::None && outcome.answer.status == 201 && mount)
    return UploadStart{.mounted = true};
  if (outcome.trouble != Trouble::None || outcome.answer.status != 202) return fail(outcome);
  UploadStart begun;
  TRY(begun.location, location_of(outcome.answer));
  return begun;
}

Result<std::string> Repository::send_chunk(const std::string& location, storage::ByteSource& body,
                                           uint64_t offset, uint64_t size) {
  std::vector<std::string> headers = {"Content-Type: application/octet-stream"};
  if (size > 0) headers.push_back(fmt::format("Content-Range: {}-{}", offset, offset + size - 1));
  HttpOutcome outcome = send({.method = "PATCH",
                              .target = location,
                              .headers = std::move(headers),
                              .body = &body,
                              .body_size = size,
                              .retry = Retry::No});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 202) return fail(outcome);
  return location_of(outcome.answer);
}

Result<std::string> Repository::send_stream(const std::string& location, storage::ByteSource& body) {
  HttpOutcome outcome = send({.method = "PATCH",
                              .target = location,
                              .headers = {"Content-Type: application/octet-stream"},
                              .body = &body,
                              .body_size = kUntilItEnds,
                              .retry = Retry::No});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 202) return fail(outcome);
  return location_of(outcome.answer);
}

Result<Repository::UploadState> Repository::upload_state(const std::string& location) {
  HttpOutcome outcome = send({.target = location});
  bool known =
      outcome.trouble == Trouble::None && (outcome.answer.status == 204 || outcome.answer.status == 202);
  if (!known) return fail(outcome);
  UploadState state;
  std::string_view range = outcome.answer.header("range");  // "0-1023"
  uint64_t last = 0;
  if (range.starts_with("0-")) {
    range.remove_prefix(2);
    auto [end, error] = std::from_chars(range.data(), range.data() + range.size(), last);
    // "0-0" means nothing or one byte; nothing is the safe reading, and the registry says 416 if not.
    if (error == std::errc{} && last > 0) state.offset = last + 1;
  }
  if (outcome.answer.header("location").empty()) {
    state.location = location;
  } else {
    TRY(state.location, location_of(outcome.answer));
  }
  return state;
}

Result<void> Repository::finish_upload(const std::string& location, const Digest& digest) {
  HttpOutcome outcome = send({.method = "PUT",
                              .target = with_query(location, "digest", digest.str()),
                              .headers = {"Content-Type: application/octet-stream"}});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 201) return fail(outcome);
  return {};
}

Result<void> Repository::put_whole(const std::string& location, const Digest& digest,
                                   storage::ByteSource& body, uint64_t size) {
  HttpOutcome outcome = send({.method = "PUT",
                              .target = with_query(location, "digest", digest.str()),
                              .headers = {"Content-Type: application/octet-stream"},
                              .body = &body,
                              .body_size = size,
                              .retry = Retry::No});
  if (outcome.trouble != Trouble::None || outcome.answer.status != 201) return fail(outcome);
  return {};
}

Result<void> Repository::put_manifest(const std::string& reference, const std::string& bytes,
                                      const std::string& media_type) {
  for (int attempt = 0;; ++attempt) {
    storage::StringSource body(bytes);
    HttpOutcome outcome = send({.method = "PUT",
                                .target = target("manifests/" + reference),
                                .headers = {"Content-Type: " + media_type},
                                .body = &body,
                                .body_size = bytes.size()});
    bool accepted =
        outcome.trouble == Trouble::None && outcome.answer.status >= 200 && outcome.answer.status < 300;
    if (accepted) {
      auto stored = digest_header(outcome.answer);
      if (stored && *stored != sha256(bytes))
        return failure(Kind::Corrupt, "the registry stored the manifest under {}", stored->str());
      return {};
    }
    bool passes = outcome.trouble == Trouble::Broken ||
                  (outcome.trouble == Trouble::None &&
                   (is_passing(outcome.answer.status) || outcome.answer.status == 401));
    if (!passes || attempt == 3) return fail(outcome);
    auto pause = retry_after(outcome.answer).value_or(std::chrono::seconds(attempt));
    if (!sleep_unless_stopped(pause, session_.stop_token())) return fail(outcome);
  }
}

}  // namespace berth::registry
