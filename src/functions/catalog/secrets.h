// Secrets by name, as Secrets Manager has them: one value each, the newest. They are documents of the catalog
// and lie in its database as they are (a file that root alone can read).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "functions/model.h"

namespace berth::functions {

class Catalog;

struct Secret {
  Realm realm;
  std::string name;
  std::string suffix;  ///< six characters, so that a secret made anew has another ARN
  std::string description;
  std::string value;
  std::string version_id;  ///< of the value: a UUID
  Timestamp created, changed;
  std::string arn() const;
};

/// By name, ARN, or ARN without its suffix; empty: there is none.
Result<std::optional<Secret>> find_secret(const Catalog& catalog, const Realm& realm, std::string_view id);
/// New or changed.
Result<void> keep_secret(Catalog& catalog, const Secret& secret);
Result<void> remove_secret(Catalog& catalog, const Secret& secret);
/// Of one realm, by name.
Result<std::vector<Secret>> list_secrets(const Catalog& catalog, const Realm& realm);

}  // namespace berth::functions
