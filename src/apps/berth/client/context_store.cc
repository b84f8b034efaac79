// Reading and writing docker's context files.
#include "apps/berth/client/context_store.h"

#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "base/json.h"
#include "base/sha256.h"
#include "sys/file.h"

namespace berth::cli::client {
namespace {

constexpr size_t max_file = 1u << 20;

std::string meta_folder(const std::string& folder, const std::string& name) {
  return fmt::format("{}/contexts/meta/{}", folder, sha256(name).hex());
}
std::string tls_folder(const std::string& folder, const std::string& name) {
  return fmt::format("{}/contexts/tls/{}", folder, sha256(name).hex());
}
std::string current_path(const std::string& folder) {
  return folder + "/contexts/berth-current";
}

std::string existing(std::string path) {
  return ::access(path.c_str(), F_OK) == 0 ? path : std::string();
}

Result<StoredContext> read_context(const std::string& folder, const std::string& path) {
  TRY(std::string text, sys::read_file(path, max_file));
  TRY(Json meta, parse_json(text));
  StoredContext context;
  TRY(context.name, json_string(meta, "Name"));
  if (const Json* about = json_member(meta, "Metadata")) {
    TRY(context.description, json_string(*about, "Description"));
  }
  const Json* endpoints = json_member(meta, "Endpoints");
  const Json* docker = endpoints == nullptr ? nullptr : json_member(*endpoints, "docker");
  if (docker == nullptr) return failure(Kind::InvalidArgument, "{}: it names no docker endpoint", path);
  TRY(context.host, json_string(*docker, "Host"));
  TRY(context.skip_verify, json_bool(*docker, "SkipTLSVerify"));
  context.meta_path = meta_folder(folder, context.name);
  context.tls_path = tls_folder(folder, context.name);
  context.tls = {.ca = existing(context.tls_path + "/docker/ca.pem"),
                 .certificate = existing(context.tls_path + "/docker/cert.pem"),
                 .key = existing(context.tls_path + "/docker/key.pem"),
                 .server = context.skip_verify ? TlsFiles::Server::Unverified : TlsFiles::Server::Verified};
  return context;
}

Result<void> copy_pem(const std::string& from, const std::string& to) {
  if (from.empty()) return {};
  TRY(std::string text, sys::read_file(from, max_file));
  return sys::write_file_atomic(to, text, 0600);
}

}  // namespace

bool is_valid_context_name(std::string_view name) {
  auto is_word = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  if (name.size() < 2 || name.size() > 255 || !is_word(name[0])) return false;
  return std::all_of(name.begin(), name.end(),
                     [&](char c) { return is_word(c) || c == '_' || c == '.' || c == '+' || c == '-'; });
}

std::string current_context(const std::string& folder) {
  auto text = sys::read_file(current_path(folder), 512);
  if (!text) return {};
  while (text->ends_with('\n')) text->pop_back();
  return *text;
}

Result<void> choose_context(const std::string& folder, const std::string& name) {
  if (name.empty() || name == "default") {
    ::unlink(current_path(folder).c_str());
    return {};
  }
  CHECK(load_context(folder, name));
  return sys::write_file_atomic(current_path(folder), name + "\n", 0644);
}

Result<StoredContext> load_context(const std::string& folder, const std::string& name) {
  std::string path = meta_folder(folder, name) + "/meta.json";
  auto context = read_context(folder, path);
  if (!context && context.error().kind() == Kind::NotFound) {
    return failure(
        Kind::NotFound,
        "context \"{}\": context not found: open {}: no such file or directory; \"berth context ls\" "
        "lists those that exist",
        name, path);
  }
  return context;
}

std::vector<StoredContext> list_contexts(const std::string& folder) {
  std::vector<StoredContext> contexts;
  std::string root = folder + "/contexts/meta";
  auto entries = sys::list_dir(root);
  if (!entries) return contexts;
  for (const sys::DirEntry& entry : *entries) {
    auto context = read_context(folder, fmt::format("{}/{}/meta.json", root, entry.name));
    if (context) contexts.push_back(std::move(*context));
  }
  std::sort(contexts.begin(), contexts.end(),
            [](const StoredContext& a, const StoredContext& b) { return a.name < b.name; });
  return contexts;
}

Result<void> save_context(const std::string& folder, const StoredContext& context) {
  std::string meta = meta_folder(folder, context.name);
  if (!existing(meta + "/meta.json").empty()) {
    return failure(Kind::AlreadyExists, "context \"{}\" already exists", context.name);
  }
  std::string tls = tls_folder(folder, context.name) + "/docker";
  if (context.has_tls()) {
    CHECK(sys::make_dirs(tls, 0700));
    CHECK(copy_pem(context.tls.ca, tls + "/ca.pem"));
    CHECK(copy_pem(context.tls.certificate, tls + "/cert.pem"));
    CHECK(copy_pem(context.tls.key, tls + "/key.pem"));
  }
  Json document = {
      {"Name", context.name},
      {"Metadata", Json::object()},
      {"Endpoints", {{"docker", {{"Host", context.host}, {"SkipTLSVerify", context.skip_verify}}}}}};
  if (!context.description.empty()) document["Metadata"]["Description"] = context.description;
  CHECK(sys::make_dirs(meta, 0755));
  return sys::write_file_atomic(meta + "/meta.json", to_json(document), 0644);
}

Result<void> remove_context(const std::string& folder, const std::string& name) {
  CHECK(load_context(folder, name));
  CHECK(sys::remove_tree(tls_folder(folder, name)));
  return sys::remove_tree(meta_folder(folder, name));
}

Result<Endpoint> endpoint_of(const StoredContext& context) {
  bool encrypted = context.has_tls() || context.skip_verify;
  TRY(Endpoint endpoint, parse_endpoint(context.host, encrypted ? 2376 : 2375));
  if (encrypted && endpoint.scheme == Endpoint::Scheme::Tcp) endpoint.tls = context.tls;
  return endpoint;
}

}  // namespace berth::cli::client
