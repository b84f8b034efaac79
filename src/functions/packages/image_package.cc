#include "functions/packages/image_package.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"
#include "functions/packages/zip_writer.h"
#include "storage/archive.h"
#include "sys/root_dir.h"

namespace berth::functions {
namespace {

constexpr std::string_view task_path = "var/task";

/// A directory as a layer over `parent`, below `prefix`, with the same bytes whenever it is made.
Result<storage::Layer> add_layer(storage::Snapshotter& snapshotter, const std::optional<Digest>& parent,
                                 const std::string& directory, const std::string& prefix) {
  TRY(auto root, sys::RootDir::open(directory));
  sys::UniqueFd file(::memfd_create("berth-layer", MFD_CLOEXEC));
  if (!file) return Error::from_errno("memfd_create", directory, errno);
  storage::FdSink sink(file.get());
  storage::PackOptions options{.prefix = prefix + "/",
                               .include_root = true,
                               .clamp_mtime = Timestamp{},
                               .owner = storage::FixedOwner{}};
  CHECK(storage::pack_tree(root, sink, options));
  if (::lseek(file.get(), 0, SEEK_SET) != 0) return Error::from_errno("seek in", directory, errno);
  storage::FdSource source(file.get());
  return snapshotter.unpack(source, {.parent = parent});
}

void set_variable(std::vector<std::string>& env, const std::string& name, const std::string& value) {
  std::string start = name + "=";
  std::erase_if(env, [&](const std::string& each) { return each.starts_with(start); });
  env.push_back(start + value);
}

}  // namespace

Result<Digest> make_function_image(storage::ImageStore& images, const Digest& base,
                                   const FunctionVersion& function, std::vector<spec::Reference> tags) {
  if (function.package == PackageType::Image) {
    return failure(Kind::InvalidArgument, "{} is an image already: {}", function.name, function.image);
  }
  TRY(storage::Image below, images.get(base));
  storage::Lease lease = images.lease();
  lease.add_image(base);
  storage::NewImage made{
      .config = *below.config, .chain_id = below.chain_id, .parent = base, .tags = std::move(tags)};
  auto add = [&](const std::string& directory, const std::string& prefix,
                 const std::string& what) -> Result<void> {
    TRY(storage::Layer layer, add_layer(images.snapshotter(), made.chain_id, directory, prefix));
    lease.add_chain(layer.chain_id);
    made.chain_id = layer.chain_id;
    made.config.diff_ids.push_back(layer.diff_id);
    made.config.history.push_back({.created = function.last_modified, .created_by = what});
    return {};
  };
  for (const LayerUse& layer : function.layers) CHECK(add(layer.directory, "opt", "layer " + layer.arn));
  CHECK(add(function.code_directory, std::string(task_path), "code of " + qualified_arn(function)));
  spec::ExecutionConfig& config = made.config.config;
  for (const auto& [name, value] : function.environment) set_variable(config.env, name, value);
  config.cmd = {function.handler};
  config.working_dir = "/var/task";
  config.labels[runtime_label] = function.runtime;
  config.labels[handler_label] = function.handler;
  made.config.created = function.last_modified;
  return images.create(made);
}

Result<ImageFunction> zip_of_image(storage::ImageStore& images, std::string_view reference,
                                   storage::ByteSink& sink, uint64_t max_bytes) {
  TRY(storage::Image image, images.resolve(reference));
  if (!image.chain_id) return failure(Kind::NotFound, "The image {} is empty", reference);
  TRY(auto root, images.snapshotter().view_chain(*image.chain_id));
  auto task = root.open_dir(task_path);
  if (!task) return failure(Kind::NotFound, "The image {} has no /var/task: it is no function's", reference);
  CHECK(zip_tree(*task, sink, max_bytes));
  ImageFunction function;
  const auto& config = image.config->config;
  if (auto found = config.labels.find(runtime_label); found != config.labels.end())
    function.runtime = found->second;
  if (config.cmd.size() == 1) function.handler = config.cmd.front();
  if (auto found = config.labels.find(handler_label); found != config.labels.end())
    function.handler = found->second;
  return function;
}

}  // namespace berth::functions
