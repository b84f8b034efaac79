// unpack(): compressed archive -> pipeline -> reader -> tree.
#include "base/format.h"
#include "storage/archive.h"
#include "storage/compression.h"
#include "storage/layer_unpack.h"
#include "storage/pipeline.h"
#include "storage/recipe.h"
#include "storage/tar_reader.h"
#include "storage/tree_writer.h"

namespace berth::storage {
namespace {

Result<uint64_t> unpack_entries(TarReader& reader, TreeWriter& writer, const UnpackOptions& options) {
  uint64_t count = 0;
  TarEntry entry;
  while (true) {
    if (options.stop.stop_requested()) return Error(Kind::Cancelled, "cancelled");
    TRY(bool found, reader.next(entry));
    if (!found) return count;
    if (options.filter && !options.filter(entry.name)) continue;
    if (auto applied = writer.apply(entry, reader); !applied) {
      return std::move(applied).error().in("unpack", fmt::format("\"{}\"", entry.name.substr(0, 256)));
    }
    ++count;
  }
}

}  // namespace

Result<UnpackResult> unpack_layer(ByteSource& archive, const sys::RootDir& root, const UnpackOptions& options,
                                  const FindLowers& find_lowers) {
  TRY(auto plain, decompress(archive, {.max_bytes = options.limits.max_bytes}));
  using Checked = ChunkPipeline::Checked;
  ChunkPipeline pipeline(*plain, options.stop, options.recipe != nullptr ? Checked::Yes : Checked::No);
  std::optional<RecipeWriter> recipe;
  if (options.recipe != nullptr) recipe.emplace(*options.recipe);
  RecipeWriter* recipe_writer = recipe ? &*recipe : nullptr;

  TarReader reader(pipeline, options.limits, recipe_writer);
  TreeWriter writer(root, options, find_lowers, recipe_writer);
  TRY(uint64_t entries, unpack_entries(reader, writer, options));
  CHECK(reader.drain());
  CHECK(writer.finish());
  Digest diff_id = pipeline.finish();
  if (recipe) CHECK(recipe->finish(pipeline.checksum()));
  return UnpackResult{.diff_id = std::move(diff_id),
                      .stream_bytes = pipeline.bytes(),
                      .content_bytes = writer.content_bytes(),
                      .entries = entries,
                      .recipe_valid = recipe && !writer.has_replaced()};
}

Result<UnpackResult> unpack(ByteSource& archive, const sys::RootDir& root, const UnpackOptions& options) {
  auto known = [&options]() -> Result<std::vector<const sys::RootDir*>> { return options.lowers; };
  return unpack_layer(archive, root, options, known);
}

}  // namespace berth::storage
