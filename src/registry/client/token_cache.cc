// Bounded maps under a mutex.
#include "registry/client/token_cache.h"

namespace berth::registry {
namespace {
constexpr size_t most_entries = 1024;
// A token that ends within this time is not worth beginning with.
constexpr std::chrono::seconds margin{10};
}  // namespace

std::optional<std::string> TokenCache::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto it = tokens_.find(key);
  if (it == tokens_.end()) return std::nullopt;
  if (it->second.expires > std::chrono::steady_clock::now()) return it->second.value;
  tokens_.erase(it);
  return std::nullopt;
}

void TokenCache::put(const std::string& key, const Token& token) {
  std::lock_guard lock(mutex_);
  if (tokens_.size() >= most_entries) tokens_.clear();
  tokens_[key] = {token.value, std::chrono::steady_clock::now() + token.lifetime - margin};
}

void TokenCache::forget(const std::string& key) {
  std::lock_guard lock(mutex_);
  tokens_.erase(key);
}

std::optional<std::string> TokenCache::scheme_of(const std::string& host) {
  std::lock_guard lock(mutex_);
  auto it = schemes_.find(host);
  return it == schemes_.end() ? std::nullopt : std::optional(it->second);
}

void TokenCache::worked(const std::string& host, const std::string& scheme) {
  std::lock_guard lock(mutex_);
  if (schemes_.size() >= most_entries) schemes_.clear();
  schemes_[host] = scheme;
}

}  // namespace berth::registry
