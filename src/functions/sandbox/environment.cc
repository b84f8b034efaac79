// From a function's version to a container.
#include "functions/sandbox/environment.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/format.h"

namespace berth::functions {
namespace {

constexpr uint64_t kMebibyte = 1 << 20;
constexpr uint32_t kMebibytesPerCpu = 1769;
constexpr int64_t kMaxProcesses = 1024;
constexpr int64_t kMaxFiles = 1024;

/// A link of a zip means something inside the sandbox alone, so it is not followed here.
bool is_file(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && (S_ISREG(status.st_mode) || S_ISLNK(status.st_mode));
}

/// What execve() will say of it: empty, or the words of an error. Bytes are looked at, nothing is run.
std::string_view fault_of(const std::string& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0) return "no such file or directory";
  if (S_ISLNK(status.st_mode)) return {};  // the kernel will say
  // The sandbox's user owns nothing of a zip.
  if ((status.st_mode & 0001) == 0 || (status.st_mode & 0004) == 0) return "permission denied";
  sys::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  char head[4] = {};
  if (!file || ::read(file.get(), head, sizeof head) < 2) return "exec format error";
  bool elf = std::string_view(head, 4) ==
             "\x7f"
             "ELF";
  bool script = head[0] == '#' && head[1] == '!';
  return elf || script ? std::string_view() : std::string_view("exec format error");
}

Result<void> check_bootstrap(const std::string& path, std::string_view inside) {
  std::string_view fault = fault_of(path);
  if (fault.empty()) return {};
  return failure(Kind::InvalidArgument, "fork/exec {}: {}", inside, fault);
}

bool is_provided(const FunctionVersion& function) {
  return function.runtime.starts_with("provided");
}

std::string execution_environment(const FunctionVersion& function) {
  return function.runtime.empty() ? std::string() : "AWS_Lambda_" + function.runtime;
}

std::string handler_of(const FunctionVersion& function) {
  if (function.package == PackageType::Zip) return function.handler;
  return function.image_overrides.command.empty() ? std::string() : function.image_overrides.command.front();
}

engine::MountPoint read_only_bind(const std::string& source, std::string destination) {
  return {.type = spec::MountType::Bind,
          .source = source,
          .destination = std::move(destination),
          .read_write = false,
          .propagation = "rprivate"};
}

/// Layers become one /opt; the last one of the list is on top.
engine::MountPoint layers_mount(const std::vector<LayerUse>& layers) {
  if (layers.size() == 1) return read_only_bind(layers.front().directory, "/opt");
  engine::MountPoint mount{.type = spec::MountType::Image, .source = "overlay", .destination = "/opt"};
  mount.filesystem = "overlay";
  mount.read_write = false;
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    mount.tmpfs_options.push_back("lowerdir+=" + layer->directory);
  }
  return mount;
}

std::vector<engine::MountPoint> mounts_of(const FunctionVersion& function) {
  std::vector<engine::MountPoint> mounts;
  if (function.package == PackageType::Zip)
    mounts.push_back(read_only_bind(function.code_directory, "/var/task"));
  if (!function.layers.empty()) mounts.push_back(layers_mount(function.layers));
  return mounts;
}

spec::HostConfig host_config(const SandboxPlan& plan) {
  const FunctionVersion& function = *plan.function;
  spec::HostConfig host;
  host.network_mode = plan.network;
  host.readonly_rootfs = true;
  host.init = true;
  host.extra_hosts = {"sandbox.localdomain:127.0.0.1", "sandbox:127.0.0.1"};
  host.log_config.type = "none";
  host.security_opt = {"no-new-privileges"};
  host.tmpfs["/tmp"] = fmt::format("rw,exec,nosuid,nodev,size={},mode=1777,uid={},gid={}",
                                   function.ephemeral_mebibytes * kMebibyte, kSandboxUid, kSandboxGid);
  spec::ContainerResources& resources = host.resources;
  resources.memory = static_cast<int64_t>(function.memory_mebibytes * kMebibyte);
  if (plan.memory_follows_tmp) resources.memory += static_cast<int64_t>(kMemorySlack);
  resources.memory_swap = resources.memory;
  resources.pids_limit = kMaxProcesses;
  resources.ulimits = {{"nofile", kMaxFiles, kMaxFiles}, {"core", 0, 0}};
  // AWS's proportion: as a share of what others want, or as a bound.
  if (plan.limits == LimitProfile::Strict) {
    resources.nano_cpus = int64_t{1'000'000'000} * function.memory_mebibytes / kMebibytesPerCpu;
    resources.nano_cpus = std::max<int64_t>(resources.nano_cpus, 10'000'000);
  } else {
    resources.cpu_shares = std::max<int64_t>(2, int64_t{1024} * function.memory_mebibytes / kMebibytesPerCpu);
  }
  return host;
}

/// AWS's bases begin with a script of theirs that takes the handler for its one argument, and start
/// AWS_LAMBDA_EXEC_WRAPPER themselves.
bool is_of_aws(const RuntimeBase& base) {
  return base.entry_point.size() == 1 && base.entry_point.front().ends_with("/lambda-entrypoint.sh");
}

}  // namespace

std::string log_group_of(const FunctionVersion& function) {
  return function.logging.log_group.empty() ? "/aws/lambda/" + function.name : function.logging.log_group;
}

std::vector<std::string> sandbox_environment(const SandboxPlan& plan) {
  const FunctionVersion& function = *plan.function;
  std::vector<std::string> env = {
      "LANG=en_US.UTF-8",
      "PATH=/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
      "LD_LIBRARY_PATH=/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/"
      "lib:/opt/"
      "lib",
      "AWS_XRAY_CONTEXT_MISSING=LOG_ERROR",
      "AWS_XRAY_DAEMON_ADDRESS=169.254.79.129:2000",
  };
  if (function.runtime.starts_with("python")) env.push_back("PYTHONPATH=/var/runtime");
  if (function.runtime.starts_with("nodejs")) {
    std::string_view version = std::string_view(function.runtime).substr(6);  // "20.x"
    env.push_back(
        fmt::format("NODE_PATH=/opt/nodejs/node{}/node_modules:/opt/nodejs/node_modules:"
                    "/var/runtime/node_modules:/var/runtime:/var/task",
                    version.substr(0, version.find('.'))));
    env.push_back("BERTH_RUNTIME_SOCKET=3");  // berth-init's: the client need not load node's network modules
  }
  if (plan.endpoint_port != 0) {
    env.push_back(fmt::format("AWS_ENDPOINT_URL=http://127.0.0.1:{}", plan.endpoint_port));
  }
  for (const auto& [name, value] : function.environment) env.push_back(name + "=" + value);
  auto set = [&](std::string_view name, const std::string& value) {
    if (!value.empty()) env.push_back(fmt::format("{}={}", name, value));
  };
  set("_HANDLER", handler_of(function));
  set("AWS_REGION", function.realm.region);
  set("AWS_DEFAULT_REGION", function.realm.region);
  set("AWS_EXECUTION_ENV", execution_environment(function));
  set("AWS_LAMBDA_FUNCTION_NAME", function.name);
  set("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", std::to_string(function.memory_mebibytes));
  set("AWS_LAMBDA_FUNCTION_VERSION", function.version);
  set("AWS_LAMBDA_INITIALIZATION_TYPE", plan.initialization);
  set("AWS_LAMBDA_LOG_GROUP_NAME", plan.log_group);
  set("AWS_LAMBDA_LOG_STREAM_NAME", plan.log_stream);
  set("AWS_LAMBDA_LOG_FORMAT", function.logging.format == LogFormat::Json ? "JSON" : "Text");
  if (function.logging.format == LogFormat::Json)
    set("AWS_LAMBDA_LOG_LEVEL", function.logging.application_level);
  // Emulators take the access key for the account; nothing here checks the rest.
  set("AWS_ACCESS_KEY_ID", function.realm.account);
  set("AWS_SECRET_ACCESS_KEY", "berth");
  set("AWS_SESSION_TOKEN", "berth");
  set("AWS_LAMBDA_RUNTIME_API", fmt::format("127.0.0.1:{}", kRuntimeApiPort));
  set("LAMBDA_TASK_ROOT", "/var/task");
  set("LAMBDA_RUNTIME_DIR", "/var/runtime");
  set("TZ", ":UTC");
  if (plan.web.port != 0) set("PORT", std::to_string(plan.web.port));
  return env;
}

Result<SandboxProgram> sandbox_program(const SandboxPlan& plan) {
  const FunctionVersion& function = *plan.function;
  SandboxProgram program;
  if (function.package == PackageType::Image) {
    program.entry_point = function.image_overrides.entry_point;
    program.command = function.image_overrides.command;
    return program;
  }
  if (!plan.base.entry_point.empty() && !is_provided(function)) {
    program.entry_point = plan.base.entry_point;
    if (is_of_aws(plan.base)) {
      program.command = {handler_of(function)};
      return program;
    }
    auto wrapper = function.environment.find("AWS_LAMBDA_EXEC_WRAPPER");
    if (wrapper != function.environment.end() && !wrapper->second.empty()) {
      program.entry_point.insert(program.entry_point.begin(), wrapper->second);
    }
    return program;
  }
  if (is_file(function.code_directory + "/bootstrap")) {
    CHECK(check_bootstrap(function.code_directory + "/bootstrap", "/var/task/bootstrap"));
    program.entry_point = {"/var/task/bootstrap"};
    return program;
  }
  bool in_layer = std::any_of(function.layers.begin(), function.layers.end(),
                              [](const LayerUse& layer) { return is_file(layer.directory + "/bootstrap"); });
  if (in_layer) {
    program.entry_point = {"/opt/bootstrap"};
    return program;
  }
  return Error(Kind::InvalidArgument,
               "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]");
}

Result<engine::SandboxRequest> plan_sandbox(const SandboxPlan& plan) {
  const FunctionVersion& function = *plan.function;
  if (!plan.web_fault.empty()) return Error(Kind::InvalidArgument, plan.web_fault);
  TRY(SandboxProgram program, sandbox_program(plan));
  engine::SandboxRequest request;
  request.container.name = plan.container_name;
  spec::ContainerConfig& config = request.container.request.config;
  config.image = function.package == PackageType::Zip ? plan.base.image_id : function.image_id;
  if (!program.entry_point.empty()) config.entrypoint = program.entry_point;
  if (!program.command.empty()) config.cmd = program.command;
  config.user = fmt::format("{}:{}", kSandboxUid, kSandboxGid);
  config.env = sandbox_environment(plan);
  config.working_dir = "/var/task";
  if (function.package == PackageType::Image) {
    config.working_dir = function.image_overrides.working_directory;
  }
  config.hostname = "169-254-0-1";
  config.labels = {{"berth.function", function.name},
                   {"berth.function.version", function.version},
                   {"berth.function.arn", qualified_arn(function)}};
  request.container.request.host_config = host_config(plan);
  request.mounts = mounts_of(function);
  return request;
}

}  // namespace berth::functions
