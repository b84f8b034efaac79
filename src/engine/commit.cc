// docker commit: an image of what a container has written.
#include "base/format.h"
#include "engine/core.h"
#include "engine/image_changes.h"
#include "engine/lifecycle.h"
#include "engine/working_directory.h"
#include "spec/reference.h"

namespace berth::engine {
namespace {

spec::ExecutionConfig execution_config(const spec::ContainerConfig& config) {
  spec::ExecutionConfig image;
  image.user = config.user;
  image.exposed_ports = config.exposed_ports;
  for (const std::string& entry : config.env) {
    if (entry.find('=') != std::string::npos) image.env.push_back(entry);
  }
  image.entrypoint = config.entrypoint.value_or(spec::StringList{});
  image.cmd = config.cmd.value_or(spec::StringList{});
  image.volumes = config.volumes;
  image.working_dir = config.working_dir;
  image.labels = config.labels;
  image.stop_signal = config.stop_signal;
  image.stop_timeout = config.stop_timeout;
  image.healthcheck = config.healthcheck;
  image.on_build = config.on_build;
  image.shell = config.shell;
  return image;
}

/// The client's configuration over the container's, field by field, as docker merges them.
spec::ContainerConfig merged(const spec::ContainerConfig& container,
                             const std::optional<spec::ContainerConfig>& given) {
  spec::ContainerConfig config = container;
  if (!given) return config;
  if (!given->user.empty()) config.user = given->user;
  if (given->cmd) config.cmd = given->cmd;
  if (given->entrypoint) config.entrypoint = given->entrypoint;
  if (!given->working_dir.empty()) config.working_dir = given->working_dir;
  if (!given->stop_signal.empty()) config.stop_signal = given->stop_signal;
  if (given->healthcheck) config.healthcheck = given->healthcheck;
  config.exposed_ports.insert(given->exposed_ports.begin(), given->exposed_ports.end());
  config.volumes.insert(given->volumes.begin(), given->volumes.end());
  for (const std::string& entry : given->env) {
    std::string name = entry.substr(0, entry.find('=')) + "=";
    std::erase_if(config.env, [&](const std::string& other) { return other.starts_with(name); });
    config.env.push_back(entry);
  }
  for (const auto& [name, value] : given->labels) config.labels[name] = value;
  return config;
}

Result<std::vector<spec::Reference>> tags_of(const CommitOptions& options) {
  std::vector<spec::Reference> tags;
  if (options.repository.empty()) return tags;
  TRY(spec::Reference reference, spec::Reference::parse(options.repository));
  if (!options.tag.empty()) {
    if (!spec::is_valid_tag(options.tag))
      return failure(Kind::InvalidArgument, "invalid tag format: {}", options.tag.substr(0, 200));
    reference = reference.with_tag(options.tag);
  }
  tags.push_back(reference.with_default_tag());
  return tags;
}

}  // namespace

io::Task<Result<Digest>> Containers::commit(std::string reference, CommitOptions options) {
  CO_TRY(ContainerHandle container, core_.containers.find(reference));
  CO_TRY(auto tags, tags_of(options));
  io::Mutex::Guard guard = co_await container->operation.lock();
  const ContainerRecord& record = container->record;
  if (container->removed) co_return failure(Kind::NotFound, "No such container: {}", reference);
  io::Task<Result<void>> settling = settle_working_directory_locked(core_, container);
  CO_CHECK(co_await std::move(settling));
  spec::ImageConfig config;
  CO_TRY(storage::Image base, core_.image_store->get(record.image_id));
  config = *base.config;
  config.config = execution_config(merged(record.config, options.config));
  CO_CHECK(apply_changes(options.changes, config.config));
  config.author = options.author;
  config.comment = options.comment;
  config.created = now();

  // Files of a running container may change under the copy: frozen while it is made, unless asked otherwise.
  bool freeze = options.pause && core_.cgroups->features().freezer && container->run != nullptr &&
                record.state.status == Status::Running && container->run->cgroup != nullptr;
  if (freeze) CO_CHECK(container->run->cgroup->freeze());
  storage::ImageStore* store = core_.image_store.get();
  storage::Lease lease = store->lease();
  std::string id = record.id;
  std::optional<Digest> parent = record.chain_id;
  auto copy = [store, id, parent](std::stop_token stop) {
    return store->snapshotter().commit(id, parent, storage::CommitMode::Copy, stop);
  };
  auto layer = co_await core_.loop.on_worker(copy);
  if (freeze && container->run != nullptr) CO_CHECK(container->run->cgroup->thaw());
  if (!layer) co_return std::move(layer).error();
  lease.add_chain(layer->chain_id);

  config.diff_ids.push_back(layer->diff_id);
  spec::HistoryEntry entry;
  entry.created = config.created;
  entry.created_by = record.path;
  for (const std::string& argument : record.args) entry.created_by += " " + argument;
  entry.author = options.author;
  entry.comment = options.comment;
  config.history.push_back(std::move(entry));
  storage::NewImage image{
      .config = std::move(config), .chain_id = layer->chain_id, .parent = record.image_id, .tags = tags};
  auto create = [store, image] { return store->create(image); };
  CO_TRY(Digest made, co_await core_.loop.on_worker(create));
  core_.publish(record, "commit",
                {{"comment", options.comment},
                 {"imageID", made.str()},
                 {"imageRef", tags.empty() ? "" : tags.front().familiar_string()}});
  co_return made;
}

}  // namespace berth::engine
