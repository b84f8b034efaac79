// Running a step: network, files, group, keeper; then its output and its end; then taking everything down.
#include "build/sandbox_runner.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <thread>

#include "base/format.h"
#include "base/log.h"
#include "build/agent_socket.h"
#include "build/step_plan.h"
#include "launch/plan.h"
#include "network/resolv_conf.h"
#include "sys/file.h"

namespace berth::build {
namespace {

/// The keeper of a daemon that was killed sees its processes end just now, and writes that down.
Result<void> remove_with_keeper(const std::string& directory) {
  constexpr int kAttempts = 100;
  for (int attempt = 1;; ++attempt) {
    auto removed = sys::remove_tree(directory);
    if (removed || removed.error().errno_value() != ENOTEMPTY || attempt == kAttempts) return removed;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

/// Links whose namespace is gone vanish by themselves within this; deleting one takes the kernel 30 ms.
constexpr std::chrono::milliseconds link_grace{300};

/// The read end of one of the step's streams.
struct OutputPipe {
  sys::UniqueFd read;
  OutputStream stream = OutputStream::Stdout;
  bool ended = false;
};

/// Passes on what there is; marks the end.
void drain(OutputPipe& pipe, StepOutput& output) {
  char buffer[32768];
  while (!pipe.ended) {
    const ssize_t count = ::read(pipe.read.get(), buffer, sizeof buffer);
    if (count > 0) {
      output.write(pipe.stream, std::string_view(buffer, static_cast<size_t>(count)));
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else if (count < 0 && errno == EAGAIN) {
      return;
    } else {
      pipe.ended = true;
    }
  }
}

io::Task<void> forward(io::EventLoop& loop, OutputPipe& pipe, StepOutput& output) {
  while (!pipe.ended) {
    auto readable = co_await loop.readable(pipe.read.get());
    if (!readable) co_return;
    drain(pipe, output);
  }
}

Result<void> write_file(const std::string& path, std::string_view content, mode_t mode, uid_t uid,
                        gid_t gid) {
  TRY(const auto fd, sys::open_file(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600));
  CHECK(sys::write_all(fd.get(), content));
  if (::fchown(fd.get(), uid, gid) < 0) return Error::from_errno("chown", path, errno);
  if (::fchmod(fd.get(), mode) < 0) return Error::from_errno("chmod", path, errno);
  return {};
}

std::string oom_path(const sys::CgroupHost& host, const sys::Cgroup& cgroup) {
  const bool unified = host.version() == sys::CgroupVersion::V2;
  for (const auto& [directory, controllers] : cgroup.directories()) {
    if (unified && controllers.empty()) return directory + "/memory.events";
    if (("," + controllers + ",").find(",memory,") != std::string::npos)
      return directory + "/memory.oom_control";
  }
  return {};
}

}  // namespace

/// Everything that a running step has.
struct SandboxRunner::Sandbox {
  std::string id;
  StepFiles files;
  sys::NetworkNamespace netns;
  std::string endpoint;
  std::optional<JoinedContainer> joined;
  std::unique_ptr<sys::Cgroup> cgroup;
  std::vector<std::unique_ptr<AgentSocket>> agents;
  std::optional<launch::Keeper> keeper;
  OutputPipe out{.stream = OutputStream::Stdout};
  OutputPipe error{.stream = OutputStream::Stderr};
};

std::string SandboxRunner::step_directory(const std::string& id) const {
  // A socket's path is bounded: half of the id is unique enough.
  return services_.exec_root + "/build/" + id.substr(0, 32);
}

std::vector<std::string> SandboxRunner::mount_targets() const {
  return default_mount_targets(services_.host);
}

Result<void> SandboxRunner::join_network(const StepRequest& request, Sandbox& sandbox) {
  if (request.network != StepNetwork::Bridge) return {};
  constexpr std::string_view of_container = "container:";
  if (request.network_name.starts_with(of_container)) {
    if (!services_.find_container)
      return Error(Kind::Unsupported, "networks of containers cannot be joined here");
    TRY(sandbox.joined, services_.find_container(request.network_name.substr(of_container.size())));
    TRY(sandbox.netns, sys::NetworkNamespace::adopt(std::move(sandbox.joined->network)));
    return {};
  }
  TRY(sandbox.netns, services_.namespaces.take());
  const network::AttachRequest attach{
      .network = request.network_name.empty() ? services_.network : request.network_name,
      .container_id = request.id,
      .container_name = "build-" + request.id.substr(0, 12)};
  TRY(const auto* endpoint, services_.networks.attach(attach, sandbox.netns));
  sandbox.endpoint = endpoint->id;
  return {};
}

Result<std::string> SandboxRunner::resolve_names(const StepRequest& request, const Sandbox& sandbox,
                                                 bool has_ipv6) {
  const bool has_names = sandbox.netns && services_.networks.needs_dns(request.id);
  const auto view = request.network == StepNetwork::Host ? network::ResolverView::HostNamespace
                    : has_names                          ? network::ResolverView::EmbeddedDns
                                                         : network::ResolverView::OwnNamespace;
  auto resolv = network::make_resolv_conf(network::read_host_resolv_conf(), {}, view, has_ipv6);
  if (has_names) CHECK(services_.networks.serve_dns(request.id, sandbox.netns, resolv.upstream));
  return std::move(resolv.text);
}

Result<void> SandboxRunner::write_files(const StepRequest& request, Sandbox& sandbox) {
  StepFiles& files = sandbox.files;
  const bool on_host = request.network == StepNetwork::Host;
  network::HostsOptions hosts{.extra = request.extra_hosts};
  bool has_ipv6 = false;
  if (!on_host) hosts.hostname = request.id.substr(0, 12);
  for (const auto* endpoint : services_.networks.endpoints_of_container(request.id)) {
    if (endpoint->ipv4) hosts.addresses.push_back(endpoint->ipv4->address);
    if (endpoint->ipv6) hosts.addresses.push_back(endpoint->ipv6->address);
    has_ipv6 = has_ipv6 || endpoint->ipv6;
  }
  hosts.ipv6 = has_ipv6;
  hosts.host_gateways = services_.networks.host_gateways();
  TRY(auto hosts_text, network::make_hosts(hosts));
  if (on_host) {
    auto own = sys::read_file("/etc/hosts", 1 << 20);
    if (own)
      hosts_text =
          *own + (own->ends_with('\n') ? "" : "\n") + (request.extra_hosts.empty() ? "" : hosts_text);
  }
  TRY(auto resolv_conf, resolve_names(request, sandbox, has_ipv6));
  if (sandbox.joined) {
    // One network, one set of names: as containers have it that share a network.
    hosts_text = sandbox.joined->hosts;
    resolv_conf = sandbox.joined->resolv_conf;
  }
  files.hosts = files.directory + "/hosts";
  files.hostname = files.directory + "/hostname";
  files.resolv_conf = files.directory + "/resolv.conf";
  CHECK(write_file(files.hosts, hosts_text, 0644, 0, 0));
  CHECK(write_file(files.hostname, request.id.substr(0, 12) + "\n", 0644, 0, 0));
  CHECK(write_file(files.resolv_conf, resolv_conf, 0644, 0, 0));
  for (const auto& mount : request.mounts) {
    const auto* file = std::get_if<FileMount>(&mount.source);
    const auto* agent = std::get_if<AgentMount>(&mount.source);
    if (file == nullptr && agent == nullptr) continue;
    files.files.push_back(fmt::format("{}/file-{}", files.directory, files.files.size()));
    if (agent != nullptr) {
      const AgentSocket::Options options{.path = files.files.back(),
                                         .agent = agent->agent,
                                         .mode = agent->mode & 07777,
                                         .uid = agent->uid,
                                         .gid = agent->gid};
      TRY(auto socket, AgentSocket::open(services_.loop, options));
      sandbox.agents.push_back(std::move(socket));
      continue;
    }
    CHECK(write_file(files.files.back(), file->content, file->mode & 07777, file->uid, file->gid));
  }
  return {};
}

Result<void> SandboxRunner::start(const StepRequest& request, Sandbox& sandbox) {
  sandbox.id = request.id;
  sandbox.files.directory = step_directory(request.id);
  CHECK(sys::make_dirs(services_.exec_root + "/build", 0700));
  if (::mkdir(sandbox.files.directory.c_str(), 0700) < 0)
    return Error::from_errno("mkdir", sandbox.files.directory, errno);
  CHECK(join_network(request, sandbox));
  CHECK(write_files(request, sandbox));
  TRY(auto launch, plan_step(request, sandbox.files, services_.host));
  if (services_.shares_cgroup_namespace && services_.shares_cgroup_namespace())
    std::erase_if(launch.spec.namespaces,
                  [](const spec::Namespace& each) { return each.type == spec::NamespaceType::Cgroup; });
  TRY(const auto limits, step_limits(request.resources, launch.spec.resources.devices));
  const std::string& parent =
      request.resources.cgroup_parent.empty() ? services_.cgroup_parent : request.resources.cgroup_parent;
  // Not the id alone: a container that is made of the step has a group by that name, while this one goes.
  TRY(const auto group, sys::CgroupHost::group_path(parent, "build-" + request.id));
  // The next daemon finds the group by this when the step is cut off.
  CHECK(write_file(sandbox.files.directory + "/cgroup", group, 0600, 0, 0));
  TRY(auto created, sys::Cgroup::create(services_.cgroups, group, limits));
  sandbox.cgroup = std::move(created.cgroup);
  for (const auto& [directory, controllers] : sandbox.cgroup->directories())
    launch.cgroups.push_back({directory});
  launch.oom_path = oom_path(services_.cgroups, *sandbox.cgroup);
  launch.network_from_fd = static_cast<bool>(sandbox.netns);
  launch::LaunchFds fds;
  fds.sysfs = sandbox.netns.take_sysfs();
  launch.sysfs_from_fd = static_cast<bool>(fds.sysfs);
  TRY(const auto plan, launch::plan_launch(launch, services_.host));

  if (sandbox.netns) {
    fds.network_namespace = sys::UniqueFd(::fcntl(sandbox.netns.fd(), F_DUPFD_CLOEXEC, 0));
    if (!fds.network_namespace) return Error::from_errno("duplicate", "network namespace", errno);
  }
  // Standard input has nothing to read; the plan puts the sandbox's own null device in its place.
  TRY(auto in, sys::make_pipe());
  TRY(auto out, sys::make_pipe());
  TRY(auto error, sys::make_pipe());
  fds.stdio.push_back(std::move(in.read));
  fds.stdio.push_back(std::move(out.write));
  fds.stdio.push_back(std::move(error.write));
  for (auto* read : {&out.read, &error.read}) {
    if (::fcntl(read->get(), F_SETFL, O_NONBLOCK) < 0)
      return Error::from_errno("set up", "output pipe", errno);
  }
  sandbox.out.read = std::move(out.read);
  sandbox.error.read = std::move(error.read);
  TRY(auto keeper, launch::Keeper::spawn(services_.keeper, plan, std::move(fds)));
  sandbox.keeper.emplace(std::move(keeper));
  sandbox.netns = {};
  return {};
}

namespace {

io::Task<void> kill_when_cancelled(io::CancelToken cancel, launch::Keeper& keeper) {
  co_await cancel.wait();
  (void)keeper.signal("", SIGKILL);
}

}  // namespace

io::Task<Result<StepOutcome>> SandboxRunner::watch(Sandbox& sandbox, StepOutput& output,
                                                   io::CancelToken cancel) {
  launch::Keeper& keeper = *sandbox.keeper;
  std::optional<StepOutcome> outcome;
  std::optional<Error> failed;
  {
    io::TaskGroup beside;
    beside.spawn(forward(services_.loop, sandbox.out, output));
    beside.spawn(forward(services_.loop, sandbox.error, output));
    beside.spawn(kill_when_cancelled(cancel, keeper));
    while (!outcome && !failed) {
      auto readable = co_await services_.loop.readable(keeper.fd());
      auto event = keeper.next_event();
      while (event && *event) {
        if (std::holds_alternative<launch::event::Started>(**event) && cancel.cancelled())
          (void)keeper.signal("", SIGKILL);
        if (const auto* exited = std::get_if<launch::event::Exited>(&**event)) {
          outcome = StepOutcome{exited->record.exit_code, exited->record.oom_killed};
        }
        if (const auto* failure = std::get_if<launch::event::Failed>(&**event)) {
          failed = Error(failure->failure.exit_code == 125 ? Kind::Internal : Kind::InvalidArgument,
                         failure->failure.message);
        }
        event = keeper.next_event();
      }
      const bool is_gone = !event || !readable;
      if (is_gone && !outcome && !failed)
        failed = Error(Kind::Internal, "berth-keeper ended before the step did");
    }
  }
  // Every process of the step is gone, so what is in the pipes is all there will ever be.
  drain(sandbox.out, output);
  drain(sandbox.error, output);
  if (cancel.cancelled()) co_return Error(Kind::Cancelled, "build cancelled");
  if (failed) co_return *failed;
  co_return *outcome;
}

io::Task<Result<StepOutcome>> SandboxRunner::run(StepRequest request, StepOutput& output,
                                                 io::CancelToken cancel) {
  /// Also when the task is destroyed while the step runs, nothing of it stays.
  struct Guard {
    SandboxRunner* runner;
    std::unique_ptr<Sandbox> sandbox;
    ~Guard() { runner->tear_down(std::move(sandbox)); }
  };
  Guard guard{this, std::make_unique<Sandbox>()};
  CO_CHECK(start(request, *guard.sandbox));
  auto watching = watch(*guard.sandbox, output, std::move(cancel));
  co_return co_await std::move(watching);
}

void SandboxRunner::tear_down(std::unique_ptr<Sandbox> sandbox) {
  if (sandbox->keeper) {
    (void)sandbox->keeper->signal("", SIGKILL);
    background_.spawn(see_off(std::move(*sandbox->keeper)));
  }
  if (!sandbox->endpoint.empty()) {
    auto removal = services_.networks.detach(sandbox->endpoint);
    if (removal) background_.spawn(remove_links(std::move(*removal)));
  }
  background_.spawn(remove_traces(std::move(sandbox->cgroup), sandbox->files.directory));
}

/// Until it has ended and been reaped.
io::Task<void> SandboxRunner::see_off(launch::Keeper keeper) {
  bool here = true;
  while (here) {
    auto readable = co_await services_.loop.readable(keeper.fd());
    here = static_cast<bool>(readable);
    for (bool more = here; more;) {
      auto event = keeper.next_event();
      here = static_cast<bool>(event);
      more = here && event->has_value();
    }
  }
}

io::Task<void> SandboxRunner::remove_links(network::LinkRemoval removal) {
  if (removal.host_links.empty()) co_return;
  co_await services_.loop.sleep_for(link_grace);
  auto removed = co_await services_.loop.on_worker([&removal] { return removal.run(); });
  if (!removed) log::warn("{}", removed.error().message());
}

/// The directory goes last: as long as it is there, recover() comes back to it.
io::Task<void> SandboxRunner::remove_traces(std::unique_ptr<sys::Cgroup> cgroup, std::string directory) {
  auto job = [&cgroup, &directory]() -> Result<void> {
    if (cgroup) {
      // A daemon that was killed while it made the group has left it in some hierarchies alone.
      auto killed = cgroup->kill_all();
      if (!killed && killed.error().kind() != Kind::NotFound) return killed;
      CHECK(cgroup->remove());
    }
    return directory.empty() ? Result<void>() : remove_with_keeper(directory);
  };
  auto removed = co_await services_.loop.on_worker(std::move(job));
  if (!removed) log::warn("build step: {}", removed.error().message());
}

io::Task<Result<void>> SandboxRunner::recover() {
  const std::string root = services_.exec_root + "/build";
  auto entries = sys::list_dir(root);
  if (!entries) co_return Result<void>();
  for (const auto& entry : *entries) {
    const std::string directory = root + "/" + entry.name;
    auto group = sys::read_file(directory + "/cgroup", 4096);
    auto cgroup =
        group ? sys::Cgroup::open(services_.cgroups, *group) : Result<std::unique_ptr<sys::Cgroup>>(nullptr);
    auto removing = remove_traces(cgroup ? std::move(*cgroup) : nullptr, directory);
    co_await std::move(removing);
  }
  co_return Result<void>();
}

io::Task<void> SandboxRunner::wait_until_idle() {
  co_await background_.wait_until_empty();
}

}  // namespace berth::build
