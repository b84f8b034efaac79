// Named engines, kept as docker keeps its contexts: <config folder>/contexts/meta/<sha256 of name>/meta.json
// and contexts/tls/<sha256 of name>/docker/{ca,cert,key}.pem. Which one is current stands in a file of
// berth's own, contexts/berth-current, so that `docker context use` does not change where berth goes.
#pragma once

#include <string>
#include <vector>

#include "apps/berth/client/endpoint.h"
#include "base/result.h"

namespace berth::cli::client {

struct StoredContext {
  std::string name;
  std::string description;
  std::string host;
  bool skip_verify = false;
  TlsFiles tls;  ///< paths of the material that is there
  std::string meta_path, tls_path;
  bool has_tls() const { return !tls.ca.empty() || !tls.certificate.empty(); }
};

/// [a-zA-Z0-9][a-zA-Z0-9_.+-]+
bool is_valid_context_name(std::string_view name);
/// The chosen context's name; empty: none was chosen.
std::string current_context(const std::string& folder);
/// "default" or empty: none.
Result<void> choose_context(const std::string& folder, const std::string& name);
/// NotFound `context "x": context not found`.
Result<StoredContext> load_context(const std::string& folder, const std::string& name);
/// Sorted by name; what cannot be read is left out.
std::vector<StoredContext> list_contexts(const std::string& folder);
/// Writes the description and copies of the TLS files that `context` names. AlreadyExists.
Result<void> save_context(const std::string& folder, const StoredContext& context);
Result<void> remove_context(const std::string& folder, const std::string& name);
Result<Endpoint> endpoint_of(const StoredContext& context);

}  // namespace berth::cli::client
