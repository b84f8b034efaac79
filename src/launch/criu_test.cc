// criu's protocol, its log, and what it is told of mounts.
#include "launch/criu.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>

#include "launch/criu_messages.h"
#include "launch/external_mounts.h"

namespace berth::launch {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Not;

TEST(CriuMessages, AreProtocolBuffers) {
  // As protoc --encode=criu_req makes them of images/rpc.proto.
  EXPECT_EQ(encode_criu_question(CriuAction::Version), std::string("\x08\x0a"));
  EXPECT_EQ(encode_criu_consent(true), std::string("\x08\x06\x18\x01"));
  EXPECT_EQ(encode_criu_consent(false), std::string("\x08\x06\x18\x00", 4));
  EXPECT_EQ(encode_criu_feature_check(true, false), std::string("\x08\x09\x2a\x02\x08\x01"));
}

TEST(CriuMessages, OptionsHaveTheirFields) {
  std::string text = encode_criu_request(CriuAction::Restore, {.images = 300,
                                                               .log_file = "a.log",
                                                               .restore_sibling = true,
                                                               .empty_network = true,
                                                               .external = {"mnt[/d]:/e"},
                                                               .inherited = {{"pipe:[1]", 4}},
                                                               .cgroup_roots = {{"", "/g"}}});
  EXPECT_EQ(text,
            std::string("\x08\x02\x12\x41\x08\xac\x02\x48\x04\x52\x05"
                        "a.log"
                        "\x60\x01\xca\x01\x04\x12\x02/g\xd0\x01\x01\xda\x01\x0c\x0a\x08pipe:[1]\x10\x04\x90"
                        "\x02\x03\xaa\x02\x0amnt[/d]:/e\xb0\x02\x80\x80\x80\x80\x04\x90\x03\x01",
                        69));
}

TEST(CriuMessages, AnswersAreRead) {
  auto version = decode_criu_answer(std::string("\x08\x0a\x10\x01\x52\x06\x08\x03\x10\x11\x20\x01", 12));
  ASSERT_TRUE(version);
  EXPECT_EQ(version->action, CriuAction::Version);
  EXPECT_EQ(version->version, 31701);
  auto told = decode_criu_answer(std::string("\x08\x06\x10\x01\x2a\x07\x0a\x02pr\x10\xac\x02", 13));
  ASSERT_TRUE(told);
  EXPECT_EQ(told->script, "pr");
  EXPECT_EQ(told->pid, 300);
  auto failed = decode_criu_answer(std::string("\x08\x01\x10\x00\x38\x11\x4a\x03why\x9d\x06zzzz", 17));
  ASSERT_TRUE(failed);
  EXPECT_FALSE(failed->success);
  EXPECT_EQ(failed->error, 17);
  EXPECT_EQ(failed->message, "why");
}

TEST(CriuMessages, BrokenAnswersAreRefused) {
  const std::string whole("\x08\x06\x10\x01\x2a\x07\x0a\x02pr\x10\xac\x02\x52\x06\x08\x03\x10\x11\x20\x01",
                          21);
  for (size_t size = 0; size <= whole.size(); ++size) (void)decode_criu_answer(whole.substr(0, size));
  for (size_t i = 0; i < whole.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ (1 << bit));
      (void)decode_criu_answer(changed);
    }
  for (std::string_view bad : {"\x08", "\x2a\x7fx", "\x0b", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"})
    EXPECT_EQ(decode_criu_answer(bad).error().kind(), Kind::Corrupt);
}

TEST(CriuLog, SaysWhatStoppedIt) {
  EXPECT_EQ(criu_log_errors(""), "");
  EXPECT_EQ(criu_log_errors("(00.1) Error (a.c:1): rlimit: Can't setup RLIMIT_NOFILE for self: x\n"
                            "(00.2) Warn (a.c:2): a warning\n(00.3) Error (a.c:3): first\x1b[0m.\n"
                            "(00.4) Error (a.c:4): second\n(00.5) Error (a.c:5): Dumping FAILED.\n"),
            "first?[0m; second");
  std::string many;
  for (int i = 0; i < 9; ++i) many += "Error (x): e" + std::to_string(i) + "\n";
  EXPECT_EQ(criu_log_errors(many), "e0; e1; e2");
}

constexpr char kInside[] =
    "73 43 254:0 /srv/root / rw,relatime - ext4 /dev/vda rw\n"
    "66 73 0:40 / /proc rw,relatime - proc proc rw\n"
    "67 73 0:41 / /dev rw,nosuid - tmpfs tmpfs rw\n"
    "71 73 0:44 / /sys ro - sysfs sysfs rw\n"
    "72 73 254:0 /srv/my\\040data /data rw,relatime shared:1 - ext4 /dev/vda rw\n"
    "75 72 0:60 / /data/below rw - tmpfs tmpfs rw\n"
    "76 72 0:61 / /data/tmp rw - tmpfs tmpfs rw\n"
    "91 66 0:41 /null /proc/keys rw - tmpfs tmpfs rw\n"
    "92 73 254:0 /srv/root/etc /etc ro - ext4 /dev/vda rw\n"
    "93 67 0:6 /fuse /dev/fuse rw - devtmpfs udev rw\n"
    "94 71 0:29 /x/t1 /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n"
    "95 73 254:0 /srv/other /there rw - ext4 /dev/vda rw\n"
    "96 67 0:77 /node /dev/zero rw - tmpfs none rw\n"
    "97 66 0:77 /node /proc/timer_list rw - tmpfs none rw\n"
    "nonsense\n\n";
constexpr char kHost[] =
    "1 0 254:0 / / rw - ext4 /dev/vda rw\n2 1 0:6 / /dev rw - devtmpfs udev rw\n"
    "3 1 0:60 / /srv/my\\040data/below rw - tmpfs tmpfs rw\n4 1 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup "
    "rw,cpu\n5 1 0:44 / /sys rw - sysfs sysfs rw\n";

spec::RuntimeSpec example() {
  spec::RuntimeSpec spec;
  spec.mounts = {{.destination = "/data/", .type = "bind", .source = "/srv/my data", .options = {"rbind"}},
                 {.destination = "/data/tmp", .type = "tmpfs", .source = "tmpfs", .options = {}},
                 {.destination = "/link", .type = "none", .source = "/srv/other", .options = {"bind"}},
                 {.destination = "/sys/fs/cgroup", .type = "cgroup", .source = "cgroup", .options = {}}};
  spec.masked_paths = {"/proc/keys"};
  return spec;
}

std::string followed(const std::string& destination) {
  return destination == "/link" ? "/there" : destination;
}

TEST(ExternalMounts, OfADump) {
  auto names = mounts_to_leave_out(example(), parse_mountinfo(kInside), parse_mountinfo(kHost), followed);
  ASSERT_TRUE(names);
  EXPECT_THAT(*names,
              ElementsAre("mnt[/data]:/data", "mnt[/data/below]:/data/below", "mnt[/dev/fuse]:/dev/fuse",
                          "mnt[/sys/fs/cgroup/cpu]:/sys/fs/cgroup/cpu", "mnt[/there]:/link",
                          "mnt[/dev/zero]:/dev/zero", "mnt[/proc/timer_list]:/proc/timer_list"));
}

TEST(ExternalMounts, OfARestore) {
  auto names =
      mounts_to_give(example(), parse_mountinfo(kHost), {{"cpu", "/sys/fs/cgroup/cpu/x/t2"}}, followed);
  ASSERT_TRUE(names);
  for (const char* name : {"mnt[/data]:/srv/my data", "mnt[/data/below]:/srv/my data/below",
                           "mnt[/link]:/srv/other", "mnt[/there]:/srv/other",
                           "mnt[/sys/fs/cgroup/cpu]:/sys/fs/cgroup/cpu/x/t2", "mnt[/proc/keys]:/dev/null"})
    EXPECT_THAT(*names, Contains(name));
  EXPECT_THAT(*names, Not(Contains("mnt[/data/tmp]:tmpfs")));
}

TEST(ExternalMounts, NamesAreNoDirectoriesOfTheHost) {
  auto link = [](const std::string& destination) {
    return destination == "/link" ? "/x]:/etc" : destination;
  };
  EXPECT_EQ(mounts_to_give(example(), {}, {}, link).error().kind(), Kind::Unsupported);
  auto inside = parse_mountinfo("95 73 254:0 /srv/other /x]:/etc rw - ext4 /dev/vda rw\n");
  EXPECT_EQ(mounts_to_leave_out(example(), inside, {}, link).error().kind(), Kind::Unsupported);
  auto spec = example();
  spec.mounts[0].destination = "/data]:/etc";
  EXPECT_EQ(mounts_to_give(spec, {}, {}, followed).error().kind(), Kind::Unsupported);
}

TEST(ExternalMounts, WithMappedOwnersAreRefused) {
  auto spec = example();
  spec.mounts[0].options.push_back("idmap");
  EXPECT_EQ(mounts_to_leave_out(spec, {}, {}, followed).error().kind(), Kind::Unsupported);
  EXPECT_EQ(mounts_to_give(spec, {}, {}, followed).error().kind(), Kind::Unsupported);
}

}  // namespace
}  // namespace berth::launch
