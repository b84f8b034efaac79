// The filter compiler, judged by running its programs in an interpreter of the filter language.
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>

#include <cerrno>
#include <cstring>

#include "launch/capability_names.h"
#include "launch/defaults.h"
#include "launch/seccomp_filter.h"

namespace berth::launch {
namespace {

HostFacts host() {
  HostFacts facts;
  facts.kernel = {6, 12};
  facts.capabilities = (uint64_t{1} << kKnownCapabilities) - 1;
  facts.seccomp_filter = true;
  return facts;
}

/// Runs a filter on one call.
uint32_t judge(const SeccompFilter& filter, uint32_t architecture, uint32_t number,
               std::vector<uint64_t> arguments = {}) {
  std::vector<sock_filter> code(filter.program.size() / sizeof(sock_filter));
  std::memcpy(code.data(), filter.program.data(), filter.program.size());
  seccomp_data data{.nr = static_cast<int>(number), .arch = architecture};
  for (size_t i = 0; i < arguments.size(); ++i) data.args[i] = arguments[i];
  uint32_t a = 0;
  for (size_t at = 0; at < code.size(); ++at) {
    const auto& each = code[at];
    switch (each.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        std::memcpy(&a, reinterpret_cast<const char*>(&data) + each.k, 4);
        break;
      case BPF_ALU | BPF_AND | BPF_K:
        a &= each.k;
        break;
      case BPF_JMP | BPF_JA:
        at += each.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        at += a == each.k ? each.jt : each.jf;
        break;
      case BPF_JMP | BPF_JGT | BPF_K:
        at += a > each.k ? each.jt : each.jf;
        break;
      case BPF_JMP | BPF_JGE | BPF_K:
        at += a >= each.k ? each.jt : each.jf;
        break;
      case BPF_RET | BPF_K:
        return each.k;
      default:
        ADD_FAILURE() << "instruction " << each.code;
        return 0;
    }
  }
  ADD_FAILURE() << "ran off the end";
  return 0;
}

constexpr uint32_t kDenied = SECCOMP_RET_ERRNO | EPERM, kMissing = SECCOMP_RET_ERRNO | ENOSYS;
constexpr uint32_t kAllowed = SECCOMP_RET_ALLOW;

uint32_t number_of(uint32_t target, const char* name) {
  return static_cast<uint32_t>(seccomp_syscall_resolve_name_arch(target, name));
}

class DefaultFilterTest : public ::testing::Test {
 protected:
  DefaultFilterTest() : filter_(compile(default_capabilities())) {}
  static std::shared_ptr<const SeccompFilter> compile(const std::vector<std::string>& capabilities) {
    auto filter = compile_seccomp(default_seccomp(capabilities, host()), Architecture::X86_64);
    EXPECT_TRUE(filter) << filter.error().message();
    return *filter;
  }
  uint32_t native(const char* name, std::vector<uint64_t> arguments = {}) {
    return judge(*filter_, AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X86_64, name), std::move(arguments));
  }
  uint32_t x32(const char* name, std::vector<uint64_t> arguments = {}) {
    return judge(*filter_, AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X32, name), std::move(arguments));
  }
  uint32_t i386(const char* name, std::vector<uint64_t> arguments = {}) {
    constexpr uint32_t kSocket = 359;  // libseccomp gives no plain number
    uint32_t number = std::string_view(name) == "socket" ? kSocket : number_of(SCMP_ARCH_X86, name);
    return judge(*filter_, AUDIT_ARCH_I386, number, std::move(arguments));
  }
  std::shared_ptr<const SeccompFilter> filter_;
};

TEST_F(DefaultFilterTest, OrdinaryCallsPass) {
  for (const char* name :
       {"read", "write", "openat", "execve", "futex", "clock_gettime", "epoll_wait", "fork", "exit_group",
        "mmap", "capset", "setresuid", "prctl", "ptrace", "chroot", "statx", "rseq"}) {
    EXPECT_EQ(native(name), kAllowed) << name;
  }
  EXPECT_EQ(i386("read"), kAllowed);
  EXPECT_EQ(x32("read"), kAllowed);
  EXPECT_EQ(i386("setresuid32"), kAllowed);
}

TEST_F(DefaultFilterTest, DangerousOnesDoNotOnAnyArchitecture) {
  for (const char* name :
       {"mount",       "umount2",        "bpf",        "init_module",  "kexec_load",      "reboot",
        "setns",       "unshare",        "keyctl",     "add_key",      "perf_event_open", "open_by_handle_at",
        "userfaultfd", "io_uring_setup", "swapon",     "settimeofday", "pivot_root",      "quotactl",
        "syslog",      "acct",           "move_mount", "fsopen"}) {
    EXPECT_EQ(native(name), kDenied) << name;
    EXPECT_EQ(x32(name), kDenied) << name;
    EXPECT_EQ(i386(name), kDenied) << name;
  }
}

TEST_F(DefaultFilterTest, SocketFamilies) {
  EXPECT_EQ(native("socket", {1}), kAllowed);
  EXPECT_EQ(native("socket", {39}), kAllowed);
  EXPECT_EQ(native("socket", {41}), kAllowed);
  for (uint64_t high : {uint64_t{0}, uint64_t{1} << 32, uint64_t{0xffffffff} << 32})
    for (uint64_t family : {38, 40}) {
      EXPECT_EQ(native("socket", {high | family}), kDenied);
      EXPECT_EQ(x32("socket", {high | family}), kDenied);
      EXPECT_EQ(i386("socket", {family}), kDenied);
    }
  EXPECT_EQ(i386("socket", {1}), kAllowed);
  EXPECT_EQ(i386("socketcall", {1}), kDenied);
}

TEST_F(DefaultFilterTest, CloneAndItsNamespaces) {
  EXPECT_EQ(native("clone", {0x1200011}), kAllowed);
  for (uint64_t flag : {0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000})
    EXPECT_EQ(native("clone", {0x11 | flag}), kDenied) << flag;
  EXPECT_EQ(native("clone3"), kMissing);
  filter_ = compile({"CAP_SYS_ADMIN"});
  EXPECT_EQ(native("clone", {0x10000011}), kAllowed);
  EXPECT_EQ(native("clone3"), kAllowed);
  EXPECT_EQ(native("mount"), kAllowed);
  EXPECT_EQ(native("reboot"), kDenied);
}

TEST_F(DefaultFilterTest, Personality) {
  for (uint64_t value : {0x0, 0x8, 0x20000, 0x20008}) EXPECT_EQ(native("personality", {value}), kAllowed);
  EXPECT_EQ(native("personality", {0xffffffff}), kAllowed);
  EXPECT_EQ(native("personality", {~uint64_t{0}}), kAllowed);
  EXPECT_EQ(native("personality", {0x40000}), kDenied);
  EXPECT_EQ(native("personality", {0x40000 | uint64_t{8} << 32}), kDenied);
}

TEST_F(DefaultFilterTest, UnknownNewCallsAreMissingAndForeignOnesKill) {
  EXPECT_EQ(judge(*filter_, AUDIT_ARCH_X86_64, 999), kMissing);
  EXPECT_EQ(judge(*filter_, AUDIT_ARCH_I386, 999), kMissing);
  EXPECT_EQ(judge(*filter_, AUDIT_ARCH_X86_64, 0x40000000 + 999), kMissing);
  EXPECT_EQ(judge(*filter_, AUDIT_ARCH_AARCH64, 0), uint32_t{SECCOMP_RET_KILL_PROCESS});
  EXPECT_EQ(judge(*filter_, AUDIT_ARCH_X86_64, 462), kAllowed);  // mseal, which libseccomp 2.5 does not know
}

TEST_F(DefaultFilterTest, IsSmall) {
  EXPECT_LT(filter_->program.size() / sizeof(sock_filter), 700U);
}

spec::Seccomp one_rule(std::string action, std::vector<spec::SeccompArg> arguments) {
  spec::Seccomp profile{.default_action = "SCMP_ACT_ALLOW"};
  profile.syscalls.push_back(
      {.names = {"ioctl", "no_such_call"}, .action = std::move(action), .args = std::move(arguments)});
  return profile;
}

TEST(SeccompTest, OperatorsOn64Bits) {
  constexpr uint64_t kPivot = (uint64_t{5} << 32) | 7;
  const std::vector<uint64_t> values = {0,
                                        7,
                                        8,
                                        uint64_t{5} << 32,
                                        kPivot - 1,
                                        kPivot,
                                        kPivot + 1,
                                        uint64_t{6} << 32,
                                        (uint64_t{6} << 32) | 7,
                                        ~uint64_t{0}};
  struct Case {
    const char* op;
    bool (*holds)(uint64_t);
  };
  for (const auto& [op, holds] : {Case{"SCMP_CMP_EQ", [](uint64_t v) { return v == kPivot; }},
                                  Case{"SCMP_CMP_NE", [](uint64_t v) { return v != kPivot; }},
                                  Case{"SCMP_CMP_LT", [](uint64_t v) { return v < kPivot; }},
                                  Case{"SCMP_CMP_LE", [](uint64_t v) { return v <= kPivot; }},
                                  Case{"SCMP_CMP_GT", [](uint64_t v) { return v > kPivot; }},
                                  Case{"SCMP_CMP_GE", [](uint64_t v) { return v >= kPivot; }}}) {
    auto filter = compile_seccomp(
        one_rule("SCMP_ACT_KILL_PROCESS", {{.index = 2, .value = kPivot, .op = op}}), Architecture::X86_64);
    ASSERT_TRUE(filter);
    for (uint64_t value : values)
      EXPECT_EQ(judge(**filter, AUDIT_ARCH_X86_64, 16, {0, 0, value}),
                holds(value) ? uint32_t{SECCOMP_RET_KILL_PROCESS} : kAllowed)
          << op << " " << value;
  }
}

TEST(SeccompTest, ConditionsAreJoinedAndSameArgumentsAlternate) {
  auto both = compile_seccomp(one_rule("SCMP_ACT_ERRNO", {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                                          {.index = 2, .value = 3, .op = "SCMP_CMP_EQ"}}),
                              Architecture::X86_64);
  ASSERT_TRUE(both);
  EXPECT_EQ(judge(**both, AUDIT_ARCH_X86_64, 16, {1, 0, 3}), kDenied);
  EXPECT_EQ(judge(**both, AUDIT_ARCH_X86_64, 16, {1, 0, 4}), kAllowed);
  auto either = compile_seccomp(one_rule("SCMP_ACT_ERRNO", {{.index = 0, .value = 1, .op = "SCMP_CMP_EQ"},
                                                            {.index = 0, .value = 3, .op = "SCMP_CMP_EQ"}}),
                                Architecture::X86_64);
  ASSERT_TRUE(either);
  EXPECT_EQ(judge(**either, AUDIT_ARCH_X86_64, 16, {1}), kDenied);
  EXPECT_EQ(judge(**either, AUDIT_ARCH_X86_64, 16, {3}), kDenied);
  EXPECT_EQ(judge(**either, AUDIT_ARCH_X86_64, 16, {2}), kAllowed);
}

TEST(SeccompTest, BadProfiles) {
  auto error = [](spec::Seccomp profile) {
    auto filter = compile_seccomp(profile, Architecture::X86_64);
    return filter ? std::string("none") : filter.error().message();
  };
  EXPECT_EQ(error({.default_action = "NOPE"}), "seccomp: unknown action \"NOPE\"");
  EXPECT_EQ(error(one_rule("SCMP_ACT_ERRNO", {{.index = 6, .op = "SCMP_CMP_EQ"}})),
            "seccomp: ioctl: argument index 6 is out of range");
  EXPECT_EQ(error(one_rule("SCMP_ACT_ERRNO", {{.index = 0, .op = "<"}})),
            "seccomp: ioctl: unknown operator \"<\"");
}

TEST(SeccompTest, NotifiedCallsAskTheListener) {
  spec::Seccomp profile{.default_action = "SCMP_ACT_ALLOW"};
  profile.syscalls.push_back({.names = {"mkdir"}, .action = "SCMP_ACT_NOTIFY"});
  auto filter = compile_seccomp(profile, Architecture::X86_64);
  ASSERT_TRUE(filter) << filter.error().message();
  EXPECT_TRUE((*filter)->listens);
  EXPECT_EQ(judge(**filter, AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X86_64, "mkdir"), {}),
            uint32_t{SECCOMP_RET_USER_NOTIF});
  profile.syscalls.push_back({.names = {"sendmsg"}, .action = "SCMP_ACT_NOTIFY"});
  EXPECT_FALSE(compile_seccomp(profile, Architecture::X86_64));
}

TEST(SeccompTest, AnAgentThatIsNamedGetsAListenerOfAnyFilter) {
  spec::Seccomp profile{.default_action = "SCMP_ACT_ALLOW"};
  auto plain = compile_seccomp(profile, Architecture::X86_64);
  ASSERT_TRUE(plain);
  EXPECT_FALSE((*plain)->listens);
  profile.listener_path = "/run/agent";
  auto filter = compile_seccomp(profile, Architecture::X86_64);
  ASSERT_TRUE(filter);
  EXPECT_TRUE((*filter)->listens);
  EXPECT_NE((*filter)->flags & SECCOMP_FILTER_FLAG_NEW_LISTENER, 0u);
}

TEST(SeccompTest, KnowsTheCallsOfOtherArchitectures) {
  for (const char* name : {"mkdir", "socketcall", "file_setattr", "s390_pci_mmio_read"})
    EXPECT_TRUE(is_known_call(name)) << name;
  EXPECT_FALSE(is_known_call("no_such_call"));
}

TEST(SeccompTest, ExplainedDenialsAskAndKnowTheirError) {
  auto profile = default_seccomp(default_capabilities(), host());
  auto filter = compile_seccomp(profile, Architecture::X86_64, Denials::Notify);
  ASSERT_TRUE(filter) << filter.error().message();
  EXPECT_TRUE((*filter)->listens);
  EXPECT_EQ((*filter)->denial_error, EPERM);
  auto native = [&](const char* name, std::vector<uint64_t> arguments = {}) {
    return judge(**filter, AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X86_64, name), std::move(arguments));
  };
  EXPECT_EQ(native("unshare"), uint32_t{SECCOMP_RET_USER_NOTIF});
  EXPECT_EQ(native("socket", {38}), uint32_t{SECCOMP_RET_USER_NOTIF});
  EXPECT_EQ(native("clone3"), kMissing);
  EXPECT_EQ(native("sendmsg"), kAllowed);
  EXPECT_EQ(call_name(AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X86_64, "unshare")), "unshare");
  EXPECT_EQ(call_name(AUDIT_ARCH_X86_64, 9999), "system call 9999");
}

TEST(SeccompTest, HardenedTakesAwayAndAddsNothing) {
  auto capabilities = all_capabilities(host());
  auto hardened = compile_seccomp(hardened_seccomp(capabilities, host()), Architecture::X86_64);
  auto ordinary = compile_seccomp(default_seccomp(capabilities, host()), Architecture::X86_64);
  ASSERT_TRUE(hardened && ordinary);
  for (uint32_t number = 0; number < 480; ++number) {
    uint32_t strict = judge(**hardened, AUDIT_ARCH_X86_64, number, {});
    if (strict == kAllowed) {
      EXPECT_EQ(judge(**ordinary, AUDIT_ARCH_X86_64, number, {}), kAllowed) << number;
    }
  }
  for (const char* name : {"ptrace", "unshare", "setns", "mount", "bpf", "name_to_handle_at", "mknodat"}) {
    EXPECT_EQ(judge(**hardened, AUDIT_ARCH_X86_64, number_of(SCMP_ARCH_X86_64, name), {}), kDenied) << name;
  }
  uint32_t socket = number_of(SCMP_ARCH_X86_64, "socket"), clone = number_of(SCMP_ARCH_X86_64, "clone");
  EXPECT_EQ(judge(**hardened, AUDIT_ARCH_X86_64, socket, {2}), kAllowed);
  EXPECT_EQ(judge(**hardened, AUDIT_ARCH_X86_64, socket, {17}), kDenied);
  EXPECT_EQ(judge(**hardened, AUDIT_ARCH_X86_64, clone, {0x10000000}), kDenied);
  EXPECT_EQ(judge(**hardened, AUDIT_ARCH_I386, 20, {}), uint32_t{SECCOMP_RET_KILL_PROCESS});
}

TEST(SeccompProfileTest, DockersForm) {
  constexpr std::string_view kProfile = R"({
    "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1,
    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
                {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]}],
    "syscalls": [
      {"names": ["read", "write"], "action": "SCMP_ACT_ALLOW"},
      {"name": "ptrace", "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "4.8"}},
      {"names": ["newer"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "99.0"}},
      {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "excludes": {"caps": ["CAP_SYS_ADMIN"]}},
      {"names": ["arm_only"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
      {"names": ["personality"], "action": "SCMP_ACT_ALLOW",
       "args": [{"index": 0, "value": 8, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]}]})";
  auto profile = parse_seccomp_profile(kProfile, default_capabilities(), host());
  ASSERT_TRUE(profile) << profile.error().message();
  EXPECT_EQ(profile->architectures, (std::vector<std::string>{"SCMP_ARCH_X86_64", "SCMP_ARCH_X86"}));
  std::vector<std::string> names;
  for (const auto& rule : profile->syscalls) names.push_back(rule.names.front());
  EXPECT_EQ(names, (std::vector<std::string>{"read", "ptrace", "clone3", "personality"}));
  EXPECT_EQ(profile->syscalls[2].errno_ret, 38U);
  EXPECT_EQ(profile->syscalls[3].args.at(0).value, 8U);
  EXPECT_TRUE(compile_seccomp(*profile, Architecture::X86_64));
}

TEST(SeccompProfileTest, BadOnes) {
  for (std::string_view text :
       {"", "[]", "{", R"({"defaultAction": 1})", R"({"syscalls": {}})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"],
                                    "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"name": "a", "names": ["b"]}]})",
        R"({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["b"], "action": "SCMP_ACT_ALLOW",
                                    "includes": {"minKernel": "x"}}]})"}) {
    auto profile = parse_seccomp_profile(text, {}, host());
    ASSERT_FALSE(profile) << text;
    EXPECT_TRUE(profile.error().message().starts_with("Decoding seccomp profile failed: "))
        << profile.error().message();
  }
}

TEST(CapabilitiesTest, AddAndDrop) {
  auto resolve = [](std::vector<std::string> add, std::vector<std::string> drop) {
    return resolve_capabilities(add, drop, false, host());
  };
  EXPECT_EQ(resolve({}, {}).value(), default_capabilities());
  EXPECT_EQ(resolve({"net_admin"}, {"ALL"}).value(), std::vector<std::string>{"CAP_NET_ADMIN"});
  EXPECT_EQ(resolve({"ALL"}, {"CAP_MKNOD"}).value().size(), static_cast<size_t>(kKnownCapabilities - 1));
  EXPECT_EQ(resolve({"SYS_TIME"}, {"chown"}).value().size(), 14U);
  EXPECT_EQ(resolve({"BOGUS"}, {}).error().message(), "unknown capability: \"CAP_BOGUS\"");
  EXPECT_EQ(resolve_capabilities({}, {}, true, host()).value().size(),
            static_cast<size_t>(kKnownCapabilities));
}

}  // namespace
}  // namespace berth::launch
