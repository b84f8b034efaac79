// JSON of the engine's records. Configurations are kept in docker's own shape (spec/container.h).
#include "engine/record_codec.h"

#include <array>

#include "base/format.h"
#include "base/json.h"
#include "spec/object_reader.h"

namespace berth::engine {
namespace {

constexpr std::array kStatuses = {Status::Created,  Status::Running, Status::Paused, Status::Restarting,
                                  Status::Removing, Status::Exited,  Status::Dead};
constexpr std::array kHealthStatuses = {HealthStatus::None, HealthStatus::Starting, HealthStatus::Healthy,
                                        HealthStatus::Unhealthy};

template <class Enum, size_t N>
Result<Enum> parse_enum(const std::array<Enum, N>& values, std::string_view text) {
  for (Enum value : values) {
    if (to_string(value) == text) return value;
  }
  return failure(Kind::Corrupt, "unknown status \"{}\"", text);
}

Error corrupt(Error error, std::string_view what) {
  return failure(Kind::Corrupt, "stored {} is damaged: {}", what, error.message());
}

Json mount_json(const MountPoint& mount) {
  return {{"type", to_string(mount.type)},
          {"name", mount.name},
          {"source", mount.source},
          {"destination", mount.destination},
          {"driver", mount.driver},
          {"mode", mount.mode},
          {"rw", mount.read_write},
          {"propagation", mount.propagation},
          {"subpath", mount.subpath},
          {"no_copy", mount.no_copy},
          {"non_recursive", mount.non_recursive},
          {"ro_recursive", mount.read_only_recursive},
          {"force_recursive", mount.force_recursive},
          {"create_source", mount.create_source},
          {"anonymous", mount.anonymous},
          {"options", mount.tmpfs_options},
          {"chain", mount.chain_id ? mount.chain_id->str() : ""}};
}

Result<MountPoint> parse_mount(const Json& object) {
  MountPoint mount;
  spec::ObjectReader reader(object, "mount");
  std::string type;
  reader.read("type", type);
  reader.read("name", mount.name);
  reader.read("source", mount.source);
  reader.read("destination", mount.destination);
  reader.read("driver", mount.driver);
  reader.read("mode", mount.mode);
  reader.read("rw", mount.read_write);
  reader.read("propagation", mount.propagation);
  reader.read("subpath", mount.subpath);
  reader.read("no_copy", mount.no_copy);
  reader.read("non_recursive", mount.non_recursive);
  reader.read("ro_recursive", mount.read_only_recursive);
  reader.read("force_recursive", mount.force_recursive);
  reader.read("create_source", mount.create_source);
  reader.read("anonymous", mount.anonymous);
  reader.read("options", mount.tmpfs_options);
  std::string chain;
  reader.read("chain", chain);
  CHECK(std::move(reader).finish());
  if (!chain.empty()) {
    TRY(mount.chain_id, Digest::parse(chain));
  }
  constexpr std::array types = {spec::MountType::Bind, spec::MountType::Volume, spec::MountType::Tmpfs,
                                spec::MountType::Image};
  TRY(mount.type, parse_enum(types, type));
  return mount;
}

/// Reads nanoseconds since the epoch.
void read_time(spec::ObjectReader& reader, std::string_view key, Timestamp& time) {
  int64_t nanoseconds = 0;
  reader.read(key, nanoseconds);
  time = from_unix_nanoseconds(nanoseconds);
}

Result<void> read_definition(std::string_view text, ContainerRecord& record) {
  TRY(auto document, parse_json(text));
  spec::ObjectReader reader(document, "container");
  read_time(reader, "created", record.created);
  std::string image;
  std::optional<std::string> chain;
  reader.read("image", image);
  reader.read("chain", chain);
  reader.read("platform", record.platform);
  reader.read_with("config", record.config, spec::parse_container_config);
  reader.read_with("host_config", record.host_config, spec::parse_host_config);
  reader.read_list("mounts", record.mounts, parse_mount);
  reader.read("path", record.path);
  reader.read("args", record.args);
  reader.read("hostname_path", record.hostname_path);
  reader.read("hosts_path", record.hosts_path);
  reader.read("resolv_conf_path", record.resolv_conf_path);
  reader.read("log_path", record.log_path);
  CHECK(std::move(reader).finish());
  TRY(record.image_id, Digest::parse(image));
  if (chain) {
    TRY(auto digest, Digest::parse(*chain));
    record.chain_id = std::move(digest);
  }
  return {};
}

Result<void> read_state(std::string_view text, ContainerRecord& record) {
  TRY(auto document, parse_json(text));
  ContainerState& state = record.state;
  spec::ObjectReader reader(document, "state");
  std::string status;
  std::string health = "none";
  reader.read("status", status);
  reader.read("pid", state.pid);
  reader.read("exit_code", state.exit_code);
  reader.read("oom", state.oom_killed);
  reader.read("error", state.error);
  reader.read("denied", state.denied_calls);
  read_time(reader, "started", state.started);
  read_time(reader, "finished", state.finished);
  if (reader.find("health") != nullptr) reader.read("health", health);
  reader.read("restarts", record.restart_count);
  reader.read("manual", record.manually_stopped);
  reader.read_with("endpoints", record.endpoints, spec::parse_endpoint_map);
  reader.read_with("ports", record.ports, spec::parse_port_map);
  CHECK(std::move(reader).finish());
  TRY(state.status, parse_enum(kStatuses, status));
  TRY(state.health.status, parse_enum(kHealthStatuses, health));
  return {};
}

}  // namespace

std::string encode_definition(const ContainerRecord& record) {
  Json mounts = Json::array();
  for (const MountPoint& mount : record.mounts) mounts.push_back(mount_json(mount));
  Json document = {{"created", to_unix_nanoseconds(record.created)},
                   {"image", record.image_id.str()},
                   {"platform", record.platform},
                   {"config", spec::to_json_value(record.config)},
                   {"host_config", spec::to_json_value(record.host_config)},
                   {"mounts", std::move(mounts)},
                   {"path", record.path},
                   {"args", record.args},
                   {"hostname_path", record.hostname_path},
                   {"hosts_path", record.hosts_path},
                   {"resolv_conf_path", record.resolv_conf_path},
                   {"log_path", record.log_path}};
  if (record.chain_id) document["chain"] = record.chain_id->str();
  return to_json(document);
}

std::string encode_state(const ContainerRecord& record) {
  const ContainerState& state = record.state;
  Json document = {{"status", to_string(state.status)},
                   {"pid", state.pid},
                   {"exit_code", state.exit_code},
                   {"oom", state.oom_killed},
                   {"error", state.error},
                   {"started", to_unix_nanoseconds(state.started)},
                   {"finished", to_unix_nanoseconds(state.finished)},
                   {"restarts", record.restart_count},
                   {"manual", record.manually_stopped},
                   {"endpoints", spec::to_json_value(record.endpoints)},
                   {"ports", spec::to_json_value(record.ports)}};
  if (!state.denied_calls.empty()) document["denied"] = state.denied_calls;
  if (state.health.status != HealthStatus::None) document["health"] = to_string(state.health.status);
  return to_json(document);
}

Result<ContainerRecord> decode_container(std::string_view id, std::string_view name,
                                         std::string_view definition, std::string_view state) {
  ContainerRecord record{.image_id = Digest::from_hex(std::string(64, '0'))};
  record.id = id;
  record.name = name;
  auto what = [&] { return fmt::format("container {}", id); };
  if (auto read = read_definition(definition, record); !read) return corrupt(std::move(read).error(), what());
  if (auto read = read_state(state, record); !read) return corrupt(std::move(read).error(), what());
  return record;
}

std::string encode(const VolumeRecord& volume) {
  Json document = {{"name", volume.name},
                   {"driver", volume.driver},
                   {"mountpoint", volume.mountpoint},
                   {"created", to_unix_nanoseconds(volume.created)},
                   {"labels", volume.labels},
                   {"options", volume.options}};
  if (!volume.renamed_from.empty()) document["renamed_from"] = volume.renamed_from;
  return to_json(document);
}

Result<VolumeRecord> decode_volume(std::string_view text) {
  auto read = [&]() -> Result<VolumeRecord> {
    TRY(auto document, parse_json(text));
    VolumeRecord volume;
    spec::ObjectReader reader(document, "volume");
    reader.read("name", volume.name);
    reader.read("driver", volume.driver);
    reader.read("mountpoint", volume.mountpoint);
    read_time(reader, "created", volume.created);
    reader.read("labels", volume.labels);
    reader.read("options", volume.options);
    reader.read("renamed_from", volume.renamed_from);
    CHECK(std::move(reader).finish());
    return volume;
  }();
  if (!read) return corrupt(std::move(read).error(), "volume");
  return read;
}

std::string encode(const ExecRecord& exec) {
  const spec::ExecConfig& config = exec.config;
  Json document = {{"id", exec.id},
                   {"container", exec.container_id},
                   {"config",
                    {{"User", config.user},
                     {"Privileged", config.privileged},
                     {"Tty", config.tty},
                     {"AttachStdin", config.attach_stdin},
                     {"AttachStdout", config.attach_stdout},
                     {"AttachStderr", config.attach_stderr},
                     {"DetachKeys", config.detach_keys},
                     {"Env", config.env},
                     {"WorkingDir", config.working_dir},
                     {"Cmd", config.cmd}}},
                   {"pid", exec.pid}};
  return to_json(document);
}

Result<ExecRecord> decode_exec(std::string_view text) {
  auto read = [&]() -> Result<ExecRecord> {
    TRY(auto document, parse_json(text));
    ExecRecord exec;
    spec::ObjectReader reader(document, "exec");
    reader.read("id", exec.id);
    reader.read("container", exec.container_id);
    reader.read("pid", exec.pid);
    const Json* config = reader.find("config");
    CHECK(std::move(reader).finish());
    if (config == nullptr) return Error(Kind::InvalidArgument, "no config");
    TRY(exec.config, spec::parse_exec_config(to_json(*config)));
    return exec;
  }();
  if (!read) return corrupt(std::move(read).error(), "exec");
  return read;
}

}  // namespace berth::engine
