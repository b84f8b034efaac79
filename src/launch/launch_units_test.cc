// Small pure parts: mount options, account files, detach keys, log records, exit records, failure texts.
#include <gtest/gtest.h>
#include <linux/mount.h>

#include <cerrno>

#include "launch/detach_keys.h"
#include "launch/executor/accounts.h"
#include "launch/exit_record.h"
#include "launch/failure_text.h"
#include "launch/log_format.h"
#include "launch/mount_options.h"
#include "launch/step_report.h"

namespace berth::launch {
namespace {

TEST(MountOptionsTest, FlagsPropagationAndParameters) {
  auto options =
      parse_mount_options({"rbind", "ro", "nosuid", "noatime", "rslave", "size=1m", "uid=3", "rro"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->bind, MountOptions::Bind::Recursive);
  EXPECT_EQ(options->set, uint64_t{MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOATIME});
  EXPECT_EQ(options->clear, uint64_t{MOUNT_ATTR__ATIME});
  EXPECT_EQ(options->recursive_set, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(options->propagation, uint32_t{MS_SLAVE});
  EXPECT_TRUE(options->recursive_propagation);
  EXPECT_EQ(options->parameters, (std::vector<std::string>{"size=1m", "uid=3"}));
}

TEST(MountOptionsTest, LaterOptionsWin) {
  auto options = parse_mount_options({"ro", "rw", "nodev", "dev", "nodev", "noatime", "strictatime"});
  ASSERT_TRUE(options);
  EXPECT_EQ(options->set, uint64_t{MOUNT_ATTR_NODEV | MOUNT_ATTR_STRICTATIME});
  EXPECT_EQ(options->clear & MOUNT_ATTR_RDONLY, uint64_t{MOUNT_ATTR_RDONLY});
  EXPECT_EQ(parse_mount_options({"idmap"})->id_map, MountOptions::IdMap::Single);
  EXPECT_EQ(parse_mount_options({"ridmap"})->id_map, MountOptions::IdMap::Recursive);
}

struct StringSource {
  std::string text;
  size_t at = 0;
  int get() { return at < text.size() ? static_cast<unsigned char>(text[at++]) : -1; }
};

TEST(AccountReaderTest, FieldsAndMembers) {
  StringSource source{"# comment\n\nroot:x:0:\nwheel:x:10:alice,bob,,\nbroken\nlast:x:7:zoe"};
  AccountReader<StringSource> reader(source);
  auto members = [&] {
    std::vector<std::string> names;
    while (reader.next_member()) names.emplace_back(reader.member());
    return names;
  };
  ASSERT_TRUE(reader.next(3));
  EXPECT_EQ(reader.field(0), "root");
  EXPECT_EQ(reader.field(2), "0");
  EXPECT_TRUE(members().empty());
  ASSERT_TRUE(reader.next(3));
  EXPECT_EQ(reader.field(0), "wheel");
  EXPECT_EQ(members(), (std::vector<std::string>{"alice", "bob"}));
  ASSERT_TRUE(reader.next(3));
  EXPECT_EQ(reader.field(0), "broken");
  EXPECT_EQ(reader.field(1), "");
  ASSERT_TRUE(reader.next(3));
  EXPECT_EQ(members(), std::vector<std::string>{"zoe"});
  EXPECT_FALSE(reader.next(3));
}

TEST(AccountReaderTest, EndlessFieldsMatchNothing) {
  StringSource source{std::string(100000, 'a') + ":x:0:0\nok:x:1:1\n"};
  AccountReader<StringSource> reader(source);
  ASSERT_TRUE(reader.next(4));
  EXPECT_EQ(reader.field(0), "");
  ASSERT_TRUE(reader.next(4));
  EXPECT_EQ(reader.field(0), "ok");
}

TEST(ParseIdTest, ExactDigits) {
  uint32_t id = 0;
  EXPECT_TRUE(parse_id("01", id));
  EXPECT_EQ(id, 1U);
  EXPECT_TRUE(parse_id("18446744073709551617", id));
  EXPECT_GT(id, kMaxId);
  for (const char* text : {"", "+1", "-1", " 1", "1 ", "0x1", "1e3"})
    EXPECT_FALSE(parse_id(text, id)) << text;
}

std::string filter(DetachKeys& keys, std::string_view input, bool& matched) {
  char output[256];
  size_t size = 0;
  matched = keys.filter(input, output, size);
  return std::string(output, size);
}

TEST(DetachKeysTest, SequenceAcrossReads) {
  DetachKeys keys("\x10\x11");
  bool matched = false;
  EXPECT_EQ(filter(keys, "ab\x10", matched), "ab");
  EXPECT_FALSE(matched);
  EXPECT_EQ(filter(keys, "c", matched),
            "\x10"
            "c");
  EXPECT_EQ(filter(keys, "\x10\x10", matched), "\x10");
  EXPECT_EQ(filter(keys, "\x11rest", matched), "");
  EXPECT_TRUE(matched);
  DetachKeys none;
  EXPECT_EQ(filter(none, std::string_view("\0\x10\x11", 3), matched), std::string("\0\x10\x11", 3));
  EXPECT_FALSE(matched);
}

std::string record(uint8_t stream, std::string_view bytes) {
  LogHeader header{.time = 5, .length = static_cast<uint32_t>(bytes.size()), .stream = stream};
  return std::string(reinterpret_cast<const char*>(&header), sizeof header).append(bytes);
}

TEST(LogReaderTest, RecordsTornTailAndCorruption) {
  std::string log = record(1, "one") + record(2, "two") + record(1, "three").substr(0, 18);
  LogReader reader(log);
  EXPECT_EQ(reader.next()->bytes, "one");
  EXPECT_EQ(reader.next()->stream, LogStream::Stderr);
  EXPECT_FALSE(reader.next());
  EXPECT_EQ(reader.end(), LogReader::End::Partial);
  EXPECT_EQ(reader.consumed(), 2 * sizeof(LogHeader) + 6);
  std::string bad = record(3, "x");
  LogReader corrupt(bad);
  EXPECT_FALSE(corrupt.next());
  EXPECT_EQ(corrupt.end(), LogReader::End::Corrupt);
}

TEST(ExitRecordTest, OnlyWholeOnes) {
  EXPECT_FALSE(parse_exit_record(""));
  EXPECT_FALSE(parse_exit_record(std::string(100, 'x')));
}

TEST(FailureTextTest, DockersWords) {
  auto words = [](Reason reason, int error, const char* subject) {
    return describe_failure({.step = 0,
                             .reason = static_cast<uint32_t>(reason),
                             .error = error,
                             .subject = Text(subject, static_cast<uint32_t>(std::strlen(subject)))});
  };
  EXPECT_EQ(words(Reason::ProgramNotInPath, ENOENT, "x").exit_code, 127);
  EXPECT_EQ(words(Reason::ProgramUnusable, EACCES, "/x").exit_code, 126);
  EXPECT_EQ(words(Reason::DirectoryUnusable, ENOENT, "/x").message,
            "chdir to cwd (\"/x\") set in config.json failed: no such file or directory");
  EXPECT_EQ(words(Reason::None, EINVAL, "/g").message, "enter cgroup /g: invalid argument");
  EXPECT_EQ(words(Reason::None, EINVAL, "/g").exit_code, 125);
}

}  // namespace
}  // namespace berth::launch
