// config.json: what is read, and what is refused.
#include "spec/runtime_json.h"

#include <gtest/gtest.h>

#include "base/json.h"

namespace berth::spec {
namespace {

TEST(RuntimeSpecJson, ReadsEveryPart) {
  auto spec = parse_runtime_spec(R"({"ociVersion": "1.0.2", "unknown": [1],
    "process": {"terminal": true, "consoleSize": {"height": 24, "width": 80}, "cwd": "/w", "args": ["a", "b"],
      "env": ["A=1"], "user": {"uid": 1, "gid": 2, "umask": 18, "additionalGids": [3, 4]},
      "capabilities": {"bounding": ["CAP_KILL"], "ambient": []}, "noNewPrivileges": true, "oomScoreAdj": -5,
      "rlimits": [{"type": "RLIMIT_CORE", "hard": 18446744073709551615, "soft": 1}],
      "scheduler": {"policy": "SCHED_BATCH", "nice": 3}, "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 2},
      "execCPUAffinity": {"initial": "0", "final": "0-1"}},
    "root": {"path": "rootfs", "readonly": true}, "hostname": "h", "domainname": "d",
    "mounts": [{"destination": "/m", "type": "bind", "source": "/s", "options": ["rbind", "idmap"],
      "uidMappings": [{"containerID": 0, "hostID": 1000, "size": 1}]}],
    "hooks": {"poststop": [{"path": "/bin/x", "args": ["x", "y"], "env": ["K=V"], "timeout": 3}]},
    "annotations": {"k": "v"},
    "linux": {"namespaces": [{"type": "pid"}, {"type": "network", "path": "/proc/1/ns/net"}],
      "uidMappings": [{"containerID": 0, "hostID": 5, "size": 6}],
      "devices": [{"path": "/dev/x", "type": "c", "major": 1, "minor": 2, "fileMode": 438}],
      "cgroupsPath": "/a", "sysctl": {"net.x": "1"}, "rootfsPropagation": "rslave",
      "resources": {"memory": {"limit": -1, "swappiness": 10}, "cpu": {"shares": 2, "quota": -1, "burst": 4},
        "pids": {"limit": 9}, "devices": [{"allow": true, "type": "c", "major": -1, "access": "rw"}],
        "hugepageLimits": [{"pageSize": "2MB", "limit": 8}], "unified": {"memory.high": "1"},
        "blockIO": {"weight": 100, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 7}]}},
      "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "listenerPath": "/l",
        "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 1, "value": 2, "op": "SCMP_CMP_EQ"}]}]},
      "timeOffsets": {"boottime": {"secs": 5, "nanosecs": 6}}, "personality": {"domain": "LINUX32"},
      "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}, "netDevices": {"eth9": {"name": "eth0"}, "eth8": {}}}})");
  ASSERT_TRUE(spec) << spec.error().message();
  EXPECT_EQ(spec->process.args, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(spec->process.console_size->width, 80);
  EXPECT_EQ(spec->process.user.additional_gids, (std::vector<uint32_t>{3, 4}));
  EXPECT_EQ(spec->process.rlimits[0].hard, UINT64_MAX);
  EXPECT_EQ(spec->process.scheduler->nice, 3);
  EXPECT_EQ(spec->process.exec_cpu_affinity.final_cpus, "0-1");
  EXPECT_EQ(spec->mounts[0].uid_mappings[0].host_id, 1000u);
  EXPECT_EQ(spec->hooks.poststop[0].timeout, 3);
  EXPECT_EQ(spec->namespaces[1].path, "/proc/1/ns/net");
  EXPECT_EQ(spec->resources.memory.limit, -1);
  EXPECT_FALSE(spec->resources.devices[0].major) << "-1 stands for any";
  EXPECT_EQ(spec->resources.hugepage_limits.at("2MB"), 8u);
  EXPECT_EQ(spec->resources.block_io.read_bps[0].rate, 7u);
  EXPECT_EQ(spec->seccomp->syscalls[0].args[0].value, 2u);
  EXPECT_EQ(spec->time_offsets.at("boottime").seconds, 5);
  EXPECT_EQ(spec->memory_policy->mode, "MPOL_BIND");
  EXPECT_EQ(spec->net_devices.at("eth9"), "eth0");
}

TEST(RuntimeSpecJson, AProcessWithoutCapabilitiesHasNone) {
  auto spec =
      parse_runtime_spec(R"({"ociVersion": "1.3.0", "process": {"args": ["x"]}, "root": {"path": "r"}})");
  ASSERT_TRUE(spec);
  ASSERT_TRUE(spec->process.capabilities);
  EXPECT_TRUE(spec->process.capabilities->bounding.empty());
}

TEST(RuntimeSpecJson, RefusesWhatIsMalformed) {
  struct Case {
    const char* text;
    const char* says;
  };
  for (
      const Case& c : std::initializer_list<Case>{
          {"[]", "must be an object"},
          {R"({"root": {"path": "r"}})", "ociVersion"},
          {R"({"ociVersion": "2.0.0", "root": {"path": "r"}})", "2.0.0"},
          {R"({"ociVersion": "1.0.0"})", "root.path"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "hooks": {"prestart": [{"path": "x"}]}})",
           "absolute"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "hooks": {"prestart": [{"path": "/x", "timeout": 0}]}})",
           "timeout"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": {"namespaces": [{"type": "nope"}]}})",
           "nope"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "linux": {"namespaces": [{"type": "pid", "path": "x"}]}})",
           "absolute"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "process": {"user": {"uid": -1}}})", "uid"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "process": {"rlimits": [{"hard": -1}]}})",
           "hard"},
          {R"({"ociVersion": "1.0.0", "root": {"path": "r"}, "mounts": [{}]})", "destination"},
      }) {
    auto spec = parse_runtime_spec(c.text);
    ASSERT_FALSE(spec) << c.text;
    EXPECT_NE(spec.error().message().find(c.says), std::string::npos) << spec.error().message();
  }
}

}  // namespace
}  // namespace berth::spec
