// Names before ids, a digest before the tag beside it.
#include "storage/image_lookup.h"

#include "base/format.h"

namespace berth::storage {
namespace {

bool is_hex(std::string_view text) {
  return !text.empty() && text.size() <= 64 &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Error no_such_image(std::string_view reference) {
  auto parsed = spec::Reference::parse(reference);
  return failure(Kind::NotFound, "No such image: {}",
                 parsed ? parsed->with_default_tag().familiar_string() : std::string(reference));
}

Result<Digest> find_image(const ImageTable& table, std::string_view reference) {
  if (auto id = Digest::parse(reference)) {
    TRY(auto row, table.find(*id));
    if (row) return *id;
    return no_such_image(reference);
  }
  if (auto named = spec::Reference::parse(reference)) {
    // A digest says more than a tag beside it.
    spec::Reference wanted = named->digest() ? named->with_tag("") : named->with_default_tag();
    TRY(auto id, table.lookup(wanted));
    if (id) return *id;
  }
  std::string_view hex = reference.starts_with("sha256:") ? reference.substr(7) : reference;
  if (is_hex(hex)) {
    TRY(std::vector<Digest> matches, table.find_prefix(hex));
    if (matches.size() > 1) return failure(Kind::InvalidArgument, "ambiguous image id prefix: {}", reference);
    if (matches.size() == 1) return matches[0];
  }
  return no_such_image(reference);
}

}  // namespace berth::storage
