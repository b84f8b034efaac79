// ImageTable: rows of images and their names in the database. No rules here, only reading and writing.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "base/result.h"
#include "spec/reference.h"
#include "storage/database.h"

namespace berth::storage {

struct ImageRow {
  Digest id;
  std::optional<Digest> parent;
  std::optional<Digest> chain_id;
  std::optional<Digest> manifest;
  uint64_t size = 0;
  Timestamp last_tagged;
};

/// "docker.io/library/busybox:latest" or "...@sha256:..." and what it names.
struct NameRow {
  spec::Reference reference;
  Digest image;
};

class ImageTable {
 public:
  explicit ImageTable(Database& database) : database_(database) {}
  Result<void> create();

  Result<std::optional<ImageRow>> find(const Digest& id) const;
  Result<std::vector<ImageRow>> all() const;
  /// Ids that begin with these hex digits; at most two, which is enough to know that it is ambiguous.
  Result<std::vector<Digest>> find_prefix(std::string_view hex) const;
  Result<std::vector<Digest>> children(const Digest& id) const;
  /// An image that is there already keeps its row, but a manifest and a parent are filled in.
  Result<void> insert(const ImageRow& row);
  Result<void> remove(const Digest& id);

  Result<std::optional<Digest>> lookup(const spec::Reference& reference) const;
  Result<std::vector<spec::Reference>> names_of(const Digest& id) const;
  Result<std::vector<NameRow>> all_names() const;
  Result<void> set_name(const spec::Reference& reference, const Digest& id);
  Result<void> remove_name(const spec::Reference& reference);
  Result<void> touch(const Digest& id, Timestamp tagged);

 private:
  Database& database_;
};

}  // namespace berth::storage
