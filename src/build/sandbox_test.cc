// RUN in the real sandbox, through the real keeper and kernel: what a step sees, writes, and leaves. In a
// network namespace of the test's own, so that the machine's network is not touched.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/format.h"
#include "base/id.h"
#include "build/sandbox_runner.h"
#include "build/testing.h"
#include "launch/defaults.h"

namespace berth::build {
namespace {

using storage::TarBytes;
using testing::BuildTest;
using List = std::vector<std::string>;

class Sandboxed : public BuildTest {
 protected:
  static void SetUpTestSuite() {
    if (::geteuid() != 0) return;
    ASSERT_EQ(::unshare(CLONE_NEWNET), 0);
  }
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "sandboxes need root";
    auto host = launch::detect_host_facts();
    ASSERT_TRUE(host) << host.error().message();
    host_ = *host;
    auto program = launch::KeeperProgram::load(BERTH_KEEPER_PATH);
    ASSERT_TRUE(program) << program.error().message();
    program_ = std::make_unique<launch::KeeperProgram>(std::move(*program));
    auto groups = sys::CgroupHost::detect();
    ASSERT_TRUE(groups) << groups.error().message();
    groups_ = std::make_unique<sys::CgroupHost>(std::move(*groups));
    auto networks = network::Networks::open({.instance = random_hex(4)});
    ASSERT_TRUE(networks) << networks.error().message();
    networks_ = std::move(*networks);
    ASSERT_TRUE(networks_->recover({}, {}));
    pool_ = std::make_unique<sys::NetnsPool>(sys::NetnsPool::Options{.size = 1});
    make_runner();
    BuildTest::SetUp();
  }
  void TearDown() override {
    if (runner_) loop_.run_until_complete(runner_->wait_until_idle());
    EXPECT_TRUE(left_in("/exec/build").empty());
    BuildTest::TearDown();
    runner_.reset();
    if (networks_) (void)networks_->shut_down();
    if (groups_) groups_->remove_parent("/berth-build-test");
  }
  StepRunner& runner() override { return *runner_; }
  void make_runner() {
    runner_ = std::make_unique<SandboxRunner>(SandboxServices{.loop = loop_,
                                                              .host = host_,
                                                              .keeper = *program_,
                                                              .networks = *networks_,
                                                              .namespaces = *pool_,
                                                              .cgroups = *groups_,
                                                              .exec_root = directory_.path() + "/exec",
                                                              .cgroup_parent = "/berth-build-test"});
  }
  /// The output of a Dockerfile's steps.
  std::string output(BuildRequest request) {
    auto result = build(std::move(request));
    EXPECT_TRUE(result) << result.error().message();
    return events_.log();
  }
  std::string output(const std::string& dockerfile) { return output(request(dockerfile)); }

  launch::HostFacts host_;
  std::unique_ptr<launch::KeeperProgram> program_;
  std::unique_ptr<sys::CgroupHost> groups_;
  std::unique_ptr<network::Networks> networks_;
  std::unique_ptr<sys::NetnsPool> pool_;
  std::unique_ptr<SandboxRunner> runner_;
};

TEST_F(Sandboxed, SeesItsEnvironmentUserAndDirectory) {
  const auto text = output(
      "FROM busybox\nARG A=arg\nENV E=env\nRUN echo 'web:x:33:44::/srv:/bin/sh' >> /etc/passwd\nUSER "
      "web\nWORKDIR /srv/app\n"
      "RUN echo $A $E $(id -u):$(id -g) $PWD $HOME\n");
  EXPECT_NE(text.find("arg env 33:44 /srv/app /srv\n"), std::string::npos) << text;
}

TEST_F(Sandboxed, RunsInTheSandboxOfContainers) {
  const auto text = output(
      "FROM busybox\nRUN echo $$; grep -E 'CapInh|Seccomp:' /proc/self/status; wc -c < /proc/kcore; ls "
      "/proc/1/root >/dev/null && ls /dev\n");
  EXPECT_NE(text.find("CapInh:\t0000000000000000"), std::string::npos) << text;
  EXPECT_NE(text.find("Seccomp:\t2"), std::string::npos) << text;
  EXPECT_EQ(text.substr(0, 2), "1\n");
  EXPECT_EQ(text.find("sda"), std::string::npos);
}

TEST_F(Sandboxed, KeepsWhatItWritesAndNothingElse) {
  const auto image = built(request(
      "FROM busybox\nRUN echo kept > /kept && rm /etc/group && mkdir -m 700 /dir && ln -s kept /link\n"));
  ASSERT_TRUE(image);
  EXPECT_EQ(read(*image, "/kept"), "kept\n");
  EXPECT_TRUE(read(*image, "/etc/group").starts_with("error"));
  EXPECT_EQ(layers(*image), 2u);
  auto root = snapshotter_->view_chain(*image->chain_id);
  EXPECT_EQ(status(*image, "/dir").st_mode, static_cast<mode_t>(S_IFDIR | 0700));
  const auto unchanged = built(request("FROM busybox\nRUN true\n"));
  ASSERT_TRUE(unchanged);
  EXPECT_EQ(layers(*unchanged), 1u) << "what mounts needed is no layer";
}

TEST_F(Sandboxed, SpeaksOfItsFailure) {
  EXPECT_EQ(problem(request("FROM busybox\nRUN echo out; echo err >&2; exit 3\n")),
            "Dockerfile:2: RUN echo out; echo err >&2; exit 3: The command '/bin/sh -c echo out; echo err "
            ">&2; exit 3' returned a non-zero code: 3");
  EXPECT_EQ(events_.of<BuildFailed>()[0].exit_code, 3);
  std::string out, error;
  for (const auto& piece : events_.of<StepLog>())
    (piece.stream == OutputStream::Stdout ? out : error) += piece.bytes;
  EXPECT_EQ(out, "out\n");
  EXPECT_EQ(error, "err\n");
  const auto missing = problem(request("FROM busybox\nRUN [\"nope\", \"x\"]\n"));
  EXPECT_NE(missing.find("nope"), std::string::npos) << missing;
  EXPECT_NE(missing.find("executable file not found"), std::string::npos) << missing;
  EXPECT_EQ(left_in("/containers"), List{});
}

TEST_F(Sandboxed, HasANetworkUnlessToldOtherwise) {
  EXPECT_NE(output("FROM busybox\nRUN ip -o addr; cat /etc/hosts /etc/resolv.conf\n").find("eth0"),
            std::string::npos);
  const auto none = output("FROM busybox\nRUN --network=none ip -o link | grep -c . ; ip -o link\n");
  EXPECT_EQ(none.find("eth0"), std::string::npos) << none;
  auto hosts = request("FROM busybox\nRUN cat /etc/hosts\n");
  hosts.extra_hosts = {"db.test:10.1.2.3"};
  EXPECT_NE(output(std::move(hosts)).find("10.1.2.3\tdb.test"), std::string::npos) << events_.log();
}

TEST_F(Sandboxed, TakesHeredocsAndOtherShells) {
  EXPECT_EQ(output("FROM busybox\nRUN <<EOF\necho one\necho two\nEOF\n"), "one\ntwo\n");
  EXPECT_EQ(output("FROM busybox\nRUN <<EOF\n#!/bin/sed 1d\nsecond\nEOF\n"), "second\n");
  EXPECT_EQ(output("FROM busybox\nRUN cat <<A - <<B /dev/stdin\nfrom a\nA\nfrom b\nB\n").find("from"), 0u);
  EXPECT_EQ(output("FROM busybox\nSHELL [\"/bin/echo\", \"shell\"]\nRUN got this\n"), "shell got this\n");
}

TEST_F(Sandboxed, MountsWhatItIsToldTo) {
  auto secret =
      request(TarBytes()
                  .file("Dockerfile",
                        "FROM busybox AS tool\nRUN echo tool > /tool && mkdir /sub && echo sub > "
                        "/sub/file\nFROM busybox\n"
                        "RUN --mount=type=secret,id=token,mode=0440,uid=5 "
                        "--mount=type=tmpfs,target=/scratch,size=1m --mount=target=/context "
                        "--mount=from=tool,source=/sub,target=/sub --mount=from=tool,target=/all "
                        "cat /run/secrets/token /context/file /sub/file /all/tool; stat -c %u:%a "
                        "/run/secrets/token; df /scratch | tail -1 | awk '{print $2}'; "
                        "touch /context/x 2>/dev/null || echo context is read-only; touch /all/x 2>/dev/null "
                        "|| echo stage is read-only; echo lost > /scratch/lost\n"
                        "RUN --mount=target=/context,rw --mount=from=tool,target=/all,rw echo new > "
                        "/context/file && cat /context/file && echo x > /all/tool && cat /all/tool\n")
                  .file("file", "from the context\n"));
  secret.secrets["token"] = "s3cret\n";
  const auto text = output(std::move(secret));
  EXPECT_EQ(
      text,
      "s3cret\nfrom the context\nsub\ntool\n5:440\n1024\ncontext is read-only\nstage is read-only\nnew\nx\n");
  const auto image = images_->list(true);
  ASSERT_TRUE(image);
  EXPECT_EQ(layers(image->front()), 1u) << "mounts leave no trace in the image";
  EXPECT_NE(problem(request("FROM busybox\nRUN --mount=type=secret,id=none,required=true true\n"))
                .find("secret none: not found"),
            std::string::npos);
}

TEST_F(Sandboxed, KeepsCachesBetweenBuilds) {
  const std::string text =
      "FROM busybox\nRUN --mount=type=cache,target=/c,sharing=locked n=$(cat /c/n 2>/dev/null)x; echo $n > "
      "/c/n; echo "
      "$n\n";
  EXPECT_EQ(output(text + "RUN true 1\n"), "x\n");
  auto again = request(text);
  again.cache = CacheUse::Ignore;
  EXPECT_EQ(output(std::move(again)), "xx\n");
  auto usage = builder_->disk_usage();
  ASSERT_TRUE(usage);
  EXPECT_EQ(
      std::count_if(usage->begin(), usage->end(), [](const auto& r) { return r.type == "exec.cachemount"; }),
      1);
  auto pruned = loop_.run_until_complete(builder_->prune({.types = {"exec.cachemount"}}, {}));
  ASSERT_TRUE(pruned);
  auto fresh = request(text);
  fresh.cache = CacheUse::Ignore;
  EXPECT_EQ(output(std::move(fresh)), "x\n");
}

TEST_F(Sandboxed, HoldsLimits) {
  auto limited = request(
      "FROM busybox\nRUN ulimit -n; df /dev/shm | tail -1 | awk '{print $2}'; cat /sys/fs/cgroup/memory.max "
      "/sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || true\n");
  limited.shm_size = 4 << 20;
  limited.resources.memory = 64 << 20;
  limited.resources.ulimits = {{.name = "nofile", .soft = 321, .hard = 321}};
  EXPECT_EQ(output(std::move(limited)), "321\n4096\n67108864\n");
  auto hungry = request("FROM busybox\nRUN x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}\n");
  hungry.resources.memory = 16 << 20;
  hungry.resources.memory_swap = 16 << 20;
  const auto said = problem(std::move(hungry));
  EXPECT_NE(said.find("returned a non-zero code: 137"), std::string::npos) << said;
}

TEST_F(Sandboxed, EndsWithItsBuild) {
  io::CancelSource source;
  events_.on_event = [&](const ProgressEvent& event) {
    if (std::holds_alternative<StepLog>(event)) source.cancel();
  };
  const auto result =
      build(request("FROM busybox\nRUN sleep 1000 & echo started; sleep 1000\n"), source.token());
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().kind(), Kind::Cancelled);
  loop_.run_until_complete(runner_->wait_until_idle());
  EXPECT_EQ(left_in("/containers"), List{});
  EXPECT_EQ(left_in("/exec/build"), List{});
  EXPECT_TRUE(networks_->endpoints("bridge").empty());
}

TEST_F(Sandboxed, BoundsItsOutput) {
  ASSERT_TRUE(build(request("FROM busybox\nRUN head -c 5000000 /dev/zero | tr '\\0' x\n")));
  EXPECT_LT(events_.log().size(), 2'200'000u);
  EXPECT_NE(events_.log().find("output clipped"), std::string::npos);
}

/// What a crashed daemon has left is ended by the next.
TEST_F(Sandboxed, RecoversFromACrash) {
  StepRequest request{
      .id = random_id(), .args = {"/bin/sh", "-c", "echo up; sleep 1000"}, .network = StepNetwork::None};
  const auto image = images_->resolve("busybox");
  ASSERT_TRUE(image);
  auto root = snapshotter_->prepare("build-crashed", image->chain_id, storage::UpperDurability::Disposable);
  ASSERT_TRUE(root);
  request.root = *root;
  auto started = sys::make_pipe();
  ASSERT_TRUE(started);
  class Teller : public StepOutput {
   public:
    explicit Teller(int fd) : fd_(fd) {}
    void write(OutputStream, std::string_view bytes) override { (void)sys::write_all(fd_, bytes); }

   private:
    int fd_;
  } teller(started->write.get());
  // A daemon that is killed runs no destructor: another process plays it.
  const pid_t daemon = ::fork();
  if (daemon == 0) {
    io::EventLoop loop;
    SandboxRunner doomed({.loop = loop,
                          .host = host_,
                          .keeper = *program_,
                          .networks = *networks_,
                          .namespaces = *pool_,
                          .cgroups = *groups_,
                          .exec_root = directory_.path() + "/exec",
                          .cgroup_parent = "/berth-build-test"});
    auto running = doomed.run(request, teller, {});
    (void)loop.run_until_complete(std::move(running));
    ::_exit(0);
  }
  const std::string group = "/berth-build-test/build-" + request.id;
  char byte = 0;
  const bool was_up = ::read(started->read.get(), &byte, 1) == 1;
  const bool had_group = sys::Cgroup::open(*groups_, group).has_value();
  ASSERT_EQ(::kill(daemon, SIGKILL), 0);  // also when it has failed: it would stay
  int status = 0;
  ASSERT_EQ(::waitpid(daemon, &status, 0), daemon);
  EXPECT_TRUE(was_up);
  EXPECT_TRUE(had_group);
  open_builder();
  EXPECT_EQ(left_in("/exec/build"), List{});
  EXPECT_EQ(left_in("/containers"), List{});
  EXPECT_FALSE(sys::Cgroup::open(*groups_, group));
}

}  // namespace
}  // namespace berth::build
